namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>Changes bytes as an enemy or a bad cable would: the same for the same seed.</summary>
static class Mutation
{
    static readonly byte[] Special = [0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, (byte)'"', (byte)',', (byte)':', (byte)'[', (byte)'{', (byte)'-', (byte)'9'];

    /// <summary>Rounds per decoder; CRMBACKUP_TESTS_FUZZ multiplies them.</summary>
    public static int Rounds(int usual) =>
        usual * (int.TryParse(Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_FUZZ"), out var times) ? times : 1);

    /// <summary>At an edge of what a count, a length or an id may be, mostly.</summary>
    public static int Number(Random random) => random.Next(9) switch
    {
        0 => 0,
        1 => -1,
        2 => 1,
        3 => int.MaxValue,
        4 => int.MinValue,
        5 => 0x7FFF,
        6 => 1 << random.Next(31),
        7 => random.Next(300),
        _ => random.Next(),
    };

    public static byte[] Of(Random random, IReadOnlyList<byte[]> corpus)
    {
        var bytes = corpus[random.Next(corpus.Count)].ToList();
        for (var i = random.Next(1, 6); i > 0 && bytes.Count > 0; i--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(7))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes[at] = Special[random.Next(Special.Length)]; break;
                case 2: bytes.RemoveRange(at, Math.Min(bytes.Count - at, random.Next(1, 40))); break;
                case 3: bytes.InsertRange(at, bytes.Skip(random.Next(bytes.Count)).Take(random.Next(1, 40)).ToList()); break;
                case 4:
                    for (var j = at; j < Math.Min(bytes.Count, at + 4); j++)
                        bytes[j] = (byte)(random.Next(2) == 0 ? 0xFF : 0x7F);
                    break;
                case 5:
                    var other = corpus[random.Next(corpus.Count)];
                    bytes.RemoveRange(at, bytes.Count - at);
                    bytes.AddRange(other.Skip(random.Next(other.Length + 1)));
                    break;
                default: bytes[at] = (byte)random.Next(256); break;
            }
        }
        return [.. bytes];
    }
}
