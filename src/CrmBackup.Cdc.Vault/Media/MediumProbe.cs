using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>What a folder's file system gave when it was tried.</summary>
/// <param name="CreatesWhole">Exclusive create by link: a commit is whole or not there. False: by O_EXCL, a crash can
/// leave a torn one.</param>
/// <param name="FreeInodes">Null where the file system has no fixed number, or does not say.</param>
public sealed record MediumReport(
    bool CreatesWhole, bool SyncsDirectories, bool TellsCaseApart, long FreeBytes, long? FreeInodes)
{
    /// <summary>One segment a second for about a day.</summary>
    const long FreeInodesMin = 100_000;

    /// <summary>What a user should know before trusting it; empty for a good disk.</summary>
    public IEnumerable<string> Warnings()
    {
        if (!CreatesWhole)
            yield return "no hard links here: a crash can leave a torn newest commit, which the next start sets aside";
        if (!SyncsDirectories)
            yield return "directories cannot be synced here: after a power cut the newest files may be missing";
        if (!TellsCaseApart)
            yield return "names that differ in case alone are one file here: no harm, ours are lower case";
        if (FreeInodes < FreeInodesMin)
            yield return $"only {FreeInodes} more files fit on this file system";
    }
}

/// <summary>Tries what a vault needs of a medium, before one is made there.</summary>
public static class MediumProbe
{
    const int Rounds = 20;
    const int Racers = 4;

    /// <param name="medium">From <see cref="DirectoryMedium.CreateRoot"/>; what the probe writes is deleted
    /// again.</param>
    /// <exception cref="RefusedException">Two writers can both win here: no vault can be safe.</exception>
    public static async Task<MediumReport> RunAsync(DirectoryMedium medium, CancellationToken stop)
    {
        var run = Guid.NewGuid().ToString("N");
        for (var round = 0; round < Rounds; round++)
            await RaceAsync(medium, $"tmp/probe-{run}-{round}", stop);
        // The longest name that a vault uses has about 90 bytes.
        var longest = $"tmp/{$"probe-{run}".PadRight(100, 'x')}";
        await CreateAsync(medium, longest, stop);
        var upper = Path.Combine(medium.Location, "tmp", Path.GetFileName(longest).ToUpperInvariant());
        var report = new MediumReport(
            medium.CreatesWhole,
            Posix.SyncDirectory(DiskCalls.Real, medium.Location),
            !File.Exists(upper),
            await medium.FreeBytesAsync(stop),
            Posix.FreeInodes(medium.Location));
        await medium.DeleteAsync(longest, stop);
        return report;
    }

    static async Task RaceAsync(DirectoryMedium medium, string path, CancellationToken stop)
    {
        var winners = 0;
        await Parallel.ForAsync(0, Racers, stop, async (racer, token) =>
        {
            if (await medium.TryCreateAsync(path, new[] { (byte)racer }, token))
                Interlocked.Increment(ref winners);
        });
        await medium.DeleteAsync(path, stop);
        if (winners != 1)
            throw new RefusedException(
                $"{medium.Location} cannot create a file exclusively: {winners} of {Racers} writers were told they had",
                "Two writers could overwrite each other there: choose a local disk, NFS 4, or another mount option.");
    }

    static async Task CreateAsync(DirectoryMedium medium, string path, CancellationToken stop)
    {
        if (!await medium.TryCreateAsync(path, new byte[] { 1 }, stop))
            throw new RefusedException(
                $"{medium.Location} cannot hold a file with a name of 100 bytes",
                "Choose another file system for the vault.");
    }
}
