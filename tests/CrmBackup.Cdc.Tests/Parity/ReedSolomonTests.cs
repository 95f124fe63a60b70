using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests.Parity;

public sealed class ReedSolomonTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 3)]
    [InlineData(2, 1)]
    [InlineData(16, 2)]
    [InlineData(10, 5)]
    [InlineData(200, 16)]
    public void Any_losses_up_to_the_number_of_parity_shards_are_mended(int data, int parity)
    {
        foreach (var length in new[] { 0, 1, 15, 16, 17, 1000 })
            for (var seed = 0; seed < 20; seed++)
            {
                var random = new Random(seed);
                var shards = Encoded(random, data, parity, length);
                var lost = Enumerable.Range(0, data + parity).OrderBy(_ => random.Next()).Take(random.Next(1, parity + 1)).ToList();
                AssertMended(data, parity, shards, lost, random);
            }
    }

    [Fact]
    public void Every_choice_of_losses_is_mended()
    {
        const int data = 6, parity = 3;
        var random = new Random(1);
        var shards = Encoded(random, data, parity, 33);
        for (var losses = 1; losses < 1 << (data + parity); losses++)
            if (int.PopCount(losses) <= parity)
                AssertMended(data, parity, shards, [.. Enumerable.Range(0, data + parity).Where(place => (losses >> place & 1) == 1)], random);
    }

    [Fact]
    public void Vectors_compute_what_single_bytes_do()
    {
        var random = new Random(2);
        for (var factor = 0; factor < 256; factor++)
        {
            var source = new byte[random.Next(100)];
            var target = new byte[source.Length + random.Next(3)];
            random.NextBytes(source);
            random.NextBytes(target);
            var expected = target.Select((old, i) => i < source.Length ? (byte)(old ^ Product(source[i], (byte)factor)) : old).ToArray();
            GaloisField.AddMultiple(target, source, (byte)factor);
            Assert.Equal(expected, target);
        }
    }

    /// <summary>By the definition: multiply the polynomials, and reduce.</summary>
    static byte Product(byte left, byte right)
    {
        var product = 0;
        for (var bit = 0; bit < 8; bit++)
            if ((right >> bit & 1) == 1)
                product ^= left << bit;
        for (var bit = 14; bit >= 8; bit--)
            if ((product >> bit & 1) == 1)
                product ^= 0x11D << (bit - 8);
        return (byte)product;
    }

    static byte[][] Encoded(Random random, int data, int parity, int length)
    {
        var shards = Enumerable.Range(0, data + parity).Select(_ => new byte[length]).ToArray();
        var code = new ReedSolomon(data, parity);
        for (var member = 0; member < data; member++)
        {
            random.NextBytes(shards[member]);
            code.Add(member, shards[member], shards[data..]);
        }
        return shards;
    }

    static void AssertMended(int data, int parity, byte[][] shards, List<int> lost, Random random)
    {
        var damaged = shards.Select(shard => shard.ToArray()).ToArray();
        foreach (var place in lost)
            random.NextBytes(damaged[place]);
        new ReedSolomon(data, parity).Mend(damaged, lost);
        Assert.Equal(shards, damaged);
    }
}
