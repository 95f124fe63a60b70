using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A server of a test run. A small shell stands beside it that ends it and removes its folder when the test process is gone,
/// however that ended: no run leaves a server behind.</summary>
sealed class ServerProcess
{
    const string Script = """
        log=$0; home=$1; shift
        setsid "$@" </dev/null >>"$log" 2>&1 &
        echo $!
        cat >/dev/null
        kill -QUIT $!; sleep 1; kill -s KILL -- -$!; rm -rf "$home"
        """;
    readonly Process _shell;

    ServerProcess(Process shell, int id) => (_shell, Id) = (shell, id);

    /// <summary>Of the server itself, which leads its own session.</summary>
    public int Id { get; }

    public bool Runs => IsAlive(Id);

    /// <param name="home">Removed when the test process ends.</param>
    public static async Task<ServerProcess> StartAsync(
        string home, string log, IEnumerable<string> command, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo("/bin/sh", ["-c", Script, log, home, .. command])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = home,
        };
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        var shell = Process.Start(start)!;
        var id = int.Parse(await shell.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("no shell"));
        return new ServerProcess(shell, id);
    }

    /// <summary>SIGKILL to the server and everything it started; returns when all are gone.</summary>
    public async Task KillAsync()
    {
        var family = Family(Id);
        foreach (var id in family)
            Signals.Send(id, Signals.Kill);
        await Eventually.TrueAsync(() => !family.Any(IsAlive), TimeSpan.FromSeconds(30), "killed processes to be gone");
        Forget();
    }

    /// <summary>To the server and everything it started, which nothing can be started beside: stopped, or going on.</summary>
    public void SignalAll(int signal)
    {
        foreach (var id in Family(Id))
            Signals.Send(id, signal);
    }

    /// <summary>Asks the server to end by a signal; kills it when it does not within half a minute.</summary>
    public async Task StopAsync(int signal)
    {
        Signals.Send(Id, signal);
        for (var waited = Stopwatch.StartNew(); Runs && waited.Elapsed < TimeSpan.FromSeconds(30);)
            await Task.Delay(20);
        await KillAsync();
    }

    /// <summary>As when this process, the tests', had ended.</summary>
    public void Orphan() => _shell.StandardInput.Close();

    void Forget()
    {
        _shell.Kill(entireProcessTree: true);
        _shell.WaitForExit();
        _shell.Dispose();
    }

    /// <summary>Parents first, so that none of them can replace a child that was killed before it.</summary>
    static List<int> Family(int root)
    {
        var parents = new Dictionary<int, int>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
            if (int.TryParse(Path.GetFileName(folder), out var id) && Stat(id) is { } stat)
                parents[id] = int.Parse(stat[1]);
        var family = new List<int> { root };
        for (var i = 0; i < family.Count; i++)
            family.AddRange(parents.Where(pair => pair.Value == family[i]).Select(pair => pair.Key));
        return family;
    }

    static bool IsAlive(int id) => Stat(id) is { } stat && stat[0] is not ("Z" or "X");

    /// <summary>The fields of /proc/ID/stat after the name: state, parent, ….</summary>
    static string[]? Stat(int id)
    {
        try
        {
            var line = File.ReadAllText($"/proc/{id}/stat");
            return line[(line.LastIndexOf(')') + 2)..].Split(' ');
        }
        catch (IOException)
        {
            return null;
        }
    }
}

static class Loopback
{
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}

/// <summary>Runs a command to its end; throws with what it said when it failed.</summary>
static class Command
{
    public static async Task<string> RunAsync(params string[] command)
    {
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0 ? await output
            : throw new InvalidOperationException($"{string.Join(' ', command)} failed: {await errors}{await output}");
    }
}
