using System.Globalization;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>What Linux says of processes in /proc.</summary>
static class ProcessCpu
{
    /// <summary>Ticks of /proc; 100 per second on every Linux that .NET runs on.</summary>
    const double TicksPerSecond = 100;

    /// <summary>CPU-seconds of a process and of its ended children; null when it is gone.</summary>
    public static double? Seconds(int pid) => Stat(pid) is { } stat ? stat[11..15].Sum(Ticks) / TicksPerSecond : null;

    /// <summary>The most memory that a process ever had resident, in MiB; null when it is gone.</summary>
    public static double? PeakMebibytes(int pid)
    {
        try
        {
            var line = File.ReadLines($"/proc/{pid}/status").FirstOrDefault(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
            return line is null ? null : double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024;
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Of the whole machine, since it started.</summary>
    public static double MachineSeconds()
    {
        // cpu user nice system idle iowait irq softirq steal
        var fields = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return new[] { 1, 2, 3, 6, 7, 8 }.Sum(field => Ticks(fields[field])) / TicksPerSecond;
    }

    /// <summary>Of this process and everything below it, ended or not.</summary>
    public static double FamilySeconds()
    {
        var parents = new Dictionary<int, int>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
            if (int.TryParse(Path.GetFileName(folder), out var pid) && Stat(pid) is { } stat)
                parents[pid] = int.Parse(stat[1], CultureInfo.InvariantCulture);
        var family = new List<int> { Environment.ProcessId };
        for (var i = 0; i < family.Count; i++)
            family.AddRange(parents.Where(pair => pair.Value == family[i]).Select(pair => pair.Key));
        return family.Sum(pid => Seconds(pid) ?? 0);
    }

    static double Ticks(string field) => double.Parse(field, CultureInfo.InvariantCulture);

    /// <summary>The fields of /proc/ID/stat after the name: state, parent, …; user, system, children's user, children's system are 11 to 14.</summary>
    static string[]? Stat(int pid)
    {
        try
        {
            var line = File.ReadAllText($"/proc/{pid}/stat");
            return line[(line.LastIndexOf(')') + 2)..].Split(' ');
        }
        catch (IOException)
        {
            return null;
        }
    }
}
