using System.Globalization;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class RaceTests
{
    /// <summary>Where there is one, a file system in memory: link(2) is as exclusive there, and 40,000 fsyncs cost
    /// nothing.</summary>
    static readonly string? Memory = Directory.Exists("/dev/shm") ? "/dev/shm" : null;

    [Theory]
    [InlineData(CommitRacer.Create, 10_000, true)]
    [InlineData(CommitRacer.Create, 500, false)]
    [InlineData(CommitRacer.CreateInPlace, 2_000, true)]
    public async Task Two_racing_processes_never_both_create_a_commit(string mode, int rounds, bool inMemory)
    {
        using var files = new TemporaryVault(inMemory ? Memory : null);

        var (first, second) = await RaceAsync(files, mode, rounds);

        Assert.Empty(first.Intersect(second));
        Assert.Equal(rounds, first.Count + second.Count);
        // It was a race: neither was always ahead.
        Assert.InRange(first.Count, rounds / 100, rounds - rounds / 100);
        foreach (var round in Enumerable.Range(1, rounds))
            Assert.Equal(first.Contains(round) ? "first"u8.ToArray() : "second"u8.ToArray(),
                await files.Medium.ReadAsync(VaultPath.Commit(round), default));
    }

    [Fact]
    public async Task The_race_is_one_that_looking_before_renaming_loses()
    {
        // On a busy machine the two seldom meet.
        for (var until = DateTime.UtcNow.AddMinutes(3); DateTime.UtcNow < until;)
        {
            using var files = new TemporaryVault();
            var (first, second) = await RaceAsync(files, CommitRacer.Rename, 400);
            if (first.Overlaps(second))
                return;
        }
        Assert.Fail("looking before renaming never had two winners: the race is too slow to prove anything");
    }

    static async Task<(HashSet<int> First, HashSet<int> Second)> RaceAsync(TemporaryVault files, string mode, int rounds)
    {
        await files.CreateAsync();
        using var first = CommitRacer.Start(mode, files.Root, "first", "second", rounds);
        using var second = CommitRacer.Start(mode, files.Root, "second", "first", rounds);
        var outputs = await Task.WhenAll(first.StandardOutput.ReadToEndAsync(), second.StandardOutput.ReadToEndAsync());
        await first.WaitForExitAsync();
        await second.WaitForExitAsync();
        Assert.Equal((0, 0), (first.ExitCode, second.ExitCode));
        return (Rounds(outputs[0]), Rounds(outputs[1]));
    }

    static HashSet<int> Rounds(string output) =>
        [.. output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => int.Parse(line, CultureInfo.InvariantCulture))];
}
