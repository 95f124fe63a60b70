using System.Diagnostics;
using System.Globalization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>Gives a decoder one mutation after the other. A decoder may read or refuse by name, in bounded time and memory; anything else
/// is a failure, and its input is kept in the corpus.</summary>
static class Fuzzer
{
    public const string Verb = "fuzz";

    /// <summary>Of the garbage-collected heap, all allocations of one input together.</summary>
    const long AllocatedMax = 256L << 20;
    /// <summary>Of the process, libraries in C++ included, above what it had before the input. This and the CPU count only where
    /// nothing else runs in the process.</summary>
    const long ResidentMax = 512L << 20;
    static readonly TimeSpan _cpuMax = TimeSpan.FromSeconds(5);
    /// <summary>Whatever else the machine does: this is a loop without end.</summary>
    static readonly TimeSpan _hang = TimeSpan.FromMinutes(2);
    const int FailuresMax = 5;

    public sealed record Result(
        FuzzTarget Target, int FirstSeed, int Inputs, int Refused, TimeSpan Took, IReadOnlyList<(int Seed, string What, byte[] Bytes)> Failures)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture,
            $"fuzz {Target.Name}: {Inputs} inputs from seed {FirstSeed} on, {Refused} refused by name, {Took.TotalSeconds:0} s, {Failures.Count} failed");
    }

    /// <param name="rounds">At most so many inputs.</param>
    /// <param name="before">Of a process of its own: told each input before it is read, as a crash of the process leaves nobody who could tell it.</param>
    public static Result Run(FuzzTarget target, int firstSeed, int rounds, TimeSpan? limit, Action<int, byte[]>? before = null)
    {
        IReadOnlyList<byte[]> corpus = [.. FuzzCorpus.Of(target).Select(kept => kept.Bytes)];
        var began = TimeProvider.System.GetTimestamp();
        var failures = new List<(int, string, byte[])>();
        var kinds = new HashSet<string>();
        var (inputs, refused) = (0, 0);
        for (; inputs < rounds && failures.Count < FailuresMax; inputs++)
        {
            if (limit is not null && TimeProvider.System.GetElapsedTime(began) > limit)
                break;
            var seed = firstSeed + inputs;
            var bytes = target.Mutate(new Random(seed), corpus);
            before?.Invoke(seed, bytes);
            if (Failure(target, bytes, alone: before is not null, out var read) is { } failure && kinds.Add(KindOf(failure)))
                failures.Add((seed, failure, bytes));
            if (!read)
                refused++;
        }
        return new Result(target, firstSeed, inputs, refused, TimeProvider.System.GetElapsedTime(began), failures);
    }

    public static string? Failure(FuzzTarget target, byte[] bytes) => Failure(target, bytes, alone: false, out _);

    static string? Failure(FuzzTarget target, byte[] bytes, bool alone, out bool read)
    {
        var (allocated, cpu) = (GC.GetAllocatedBytesForCurrentThread(), Environment.CpuUsage.TotalTime);
        var resident = alone ? ResidentPeak(reset: true) : 0;
        read = false;
        using var hang = new Timer(_ => Environment.FailFast($"one input of {target.Name} takes longer than {_hang}"), null, _hang, Timeout.InfiniteTimeSpan);
        try
        {
            read = target.Read(bytes);
        }
        catch (Exception crash)
        {
            return crash.ToString();
        }
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        cpu = alone ? Environment.CpuUsage.TotalTime - cpu : TimeSpan.Zero;
        resident = alone ? ResidentPeak(reset: false) - resident : 0;
        return allocated > AllocatedMax ? $"{allocated >> 20} MiB were allocated for {bytes.Length} bytes"
            : resident > ResidentMax ? $"{resident >> 20} MiB were used for {bytes.Length} bytes"
            : cpu > _cpuMax ? $"{cpu.TotalSeconds:0.0} s of CPU were used for {bytes.Length} bytes"
            : null;
    }

    /// <summary>One failure is found by many inputs: the exception, and where it came from, tell it.</summary>
    static string KindOf(string failure) => string.Concat(string.Join('\n', failure.Split('\n').Where(line => !line.Contains("Invariant", StringComparison.Ordinal)).Take(3)).Where(letter => !char.IsAsciiDigit(letter) && letter != '-'));

    /// <summary>The process's peak of resident memory since it was reset, in bytes; 0 where the system does not tell.</summary>
    static long ResidentPeak(bool reset)
    {
        try
        {
            if (reset)
                File.WriteAllText("/proc/self/clear_refs", "5");
            var line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
            return long.Parse(line.AsSpan(6, line.Length - 8), NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture) << 10;
        }
        catch (Exception untold) when (untold is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    /// <summary>fuzz TARGET MINUTES FIRST-SEED CURRENT: as a process of its own. CURRENT is a file that holds the input being read, for the
    /// day when reading it ends the process.</summary>
    public static int RunArguments(string[] args)
    {
        var target = FuzzTarget.All.Single(target => target.Name == args[1]);
        var (minutes, seed) = (int.Parse(args[2], CultureInfo.InvariantCulture), int.Parse(args[3], CultureInfo.InvariantCulture));
        using var current = File.Create(args[4]);
        var result = Run(target, seed, int.MaxValue - seed, TimeSpan.FromMinutes(minutes), (seed, bytes) =>
        {
            current.SetLength(0);
            current.Write(bytes);
            current.Flush();
        });
        foreach (var (failed, what, bytes) in result.Failures)
            Console.WriteLine($"seed {failed}: {what}\nkept as {FuzzCorpus.Keep(target, $"failed-{failed}", bytes)}");
        Console.WriteLine(result);
        return result.Failures.Count == 0 ? 0 : 1;
    }
}
