namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>Everything that happened, as one number; the last lines in words.</summary>
sealed class Trace(World world)
{
    const int Kept = 60;

    /// <summary>CRMBACKUP_SIMULATION_TRACE=1: keeps all of it, with more words.</summary>
    static readonly bool _whole = Environment.GetEnvironmentVariable("CRMBACKUP_SIMULATION_TRACE") == "1";

    readonly List<string>? _all = _whole ? [] : null;
    readonly (long Time, string Who, string What, string Path, long A, long B)[] _last = new (long, string, string, string, long, long)[Kept];

    public ulong Hash { get; private set; } = 14695981039346656037;

    public long Lines { get; private set; }

    public void Add(string who, string what, long a, long b) => Add(who, what, "", a, b);

    public void Add(string who, string what, string path) => Add(who, what, Named(path), 0, 0);

    void Add(string who, string what, string path, long a, long b)
    {
        _last[Lines++ % Kept] = (world.Time.Now, who, what, path, a, b);
        _all?.Add(Line(_last[(Lines - 1) % Kept]));
        Mix((ulong)world.Time.Now);
        Mix(who);
        Mix(what);
        Mix(path);
        Mix((ulong)a);
        Mix((ulong)b);
    }

    /// <summary>For people; not part of the hash.</summary>
    public void Note(Func<string> words) => _all?.Add($"{world.Time.Now / 1e7,9:0.0000} -- {words()}");

    public IEnumerable<string> Last()
    {
        if (_all is not null)
            return _all;
        return Enumerable.Range(0, (int)Math.Min(Lines, Kept)).Select(line => Line(_last[(Lines - Math.Min(Lines, Kept) + line) % Kept]));
    }

    static string Line((long Time, string Who, string What, string Path, long A, long B) line) =>
        $"{line.Time / 1e7,9:0.0000} {line.Who,-12} {line.What,-10} {line.Path} {line.A} {line.B:X}";

    /// <summary>Names that hold a random part are not repeated by a seed.</summary>
    static string Named(string path) => path.Contains("/tmp/", StringComparison.Ordinal) ? "tmp"
        : path.Contains("/tables/", StringComparison.Ordinal) ? path[..path.LastIndexOf('/')] : path;

    void Mix(string text)
    {
        foreach (var character in text)
            Mix(character);
    }

    void Mix(ulong value) => Hash = (Hash ^ value) * 1099511628211;
}
