using System.Diagnostics;
using System.Globalization;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Tests;

/// <summary>A process that tries to create every one of a run of commits, and says which ones it was told it had
/// created.</summary>
static class CommitRacer
{
    /// <summary>As the medium does it.</summary>
    public const string Create = "race-create";
    /// <summary>As the medium does it on a file system without links.</summary>
    public const string CreateInPlace = "race-in-place";
    /// <summary>As it must not be done. Shows that the race is a real one.</summary>
    public const string Rename = "race-rename";

    /// <summary>Both racers wait for a common start, and for each other every so many rounds: a race that one leads is
    /// none.</summary>
    const int RoundsTogether = 20;

    public static async Task<int> RunAsync(string[] args)
    {
        var (mode, root, name, rival) = (args[0], args[1], args[2], args[3]);
        var rounds = int.Parse(args[4], CultureInfo.InvariantCulture);
        var medium = mode == CreateInPlace ? DirectoryMedium.WithoutLinks(root) : new DirectoryMedium(root);
        var content = System.Text.Encoding.UTF8.GetBytes(name);
        for (var round = 1; round <= rounds; round++)
        {
            if (round % RoundsTogether == 1)
                Meet(root, name, rival, round);
            var won = mode == Rename
                ? LookThenRename(medium, VaultPath.Commit(round), content)
                : await medium.TryCreateAsync(VaultPath.Commit(round), content, default);
            if (won)
                Console.WriteLine(round);
        }
        return 0;
    }

    public static Process Start(string mode, string root, string name, string rival, int rounds) =>
        Process.Start(new ProcessStartInfo(Environment.ProcessPath!)
        {
            ArgumentList = { "exec", typeof(CommitRacer).Assembly.Location, mode, root, name, rival, $"{rounds}" },
            RedirectStandardOutput = true,
        })!;

    /// <summary>.NET's own move without overwriting: it looks whether the name is free, then renames.</summary>
    static bool LookThenRename(DirectoryMedium medium, string path, byte[] content)
    {
        var temporary = medium.NewTemporaryPath("race");
        using (var file = new FileStream(temporary, FileMode.CreateNew))
        {
            file.Write(content);
            file.Flush(flushToDisk: true);
        }
        var final = Path.Combine(medium.Location, path);
        Directory.CreateDirectory(Path.GetDirectoryName(final)!);
        try
        {
            File.Move(temporary, final, overwrite: false);
            return true;
        }
        catch (IOException) when (File.Exists(final))
        {
            File.Delete(temporary);
            return false;
        }
    }

    static void Meet(string root, string name, string rival, int round)
    {
        File.WriteAllText(Path.Combine(root, $"tmp/{name}-{round}"), "");
        var theirs = Path.Combine(root, $"tmp/{rival}-{round}");
        var waited = Stopwatch.StartNew();
        while (!File.Exists(theirs))
            if (waited.Elapsed > TimeSpan.FromSeconds(20))
                throw new TimeoutException($"the rival did not come to round {round}");
    }
}
