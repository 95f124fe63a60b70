using System.Globalization;
using System.Runtime.InteropServices;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>What a figure was measured on, and what else went on meanwhile.</summary>
static class Machine
{
    public static string Describe(string postgres)
    {
        var model = File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim();
        var memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1 << 30);
        return string.Create(CultureInfo.InvariantCulture,
            $"{Environment.ProcessorCount} × {model ?? "CPU"}, {memory:0} GiB, {RuntimeInformation.OSDescription}, .NET {Environment.Version}, {postgres}, loopback");
    }

    /// <summary>1, 5 and 15 minutes.</summary>
    public static string Load => string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ')[..3]);
}

/// <summary>How much CPU processes used that are not the benchmark's, since it was made.</summary>
sealed class Others
{
    readonly System.Diagnostics.Stopwatch _clock = System.Diagnostics.Stopwatch.StartNew();
    readonly double _machine = ProcessCpu.MachineSeconds();
    readonly double _family = ProcessCpu.FamilySeconds();

    /// <summary>In cores.</summary>
    public double Cores => Math.Max(0, (ProcessCpu.MachineSeconds() - _machine - (ProcessCpu.FamilySeconds() - _family)) / _clock.Elapsed.TotalSeconds);
}
