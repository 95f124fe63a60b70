using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public class GapsOfTheDatabase
{
    static readonly StreamOpened Opened = new(default, default, 150020, "crm", Guid.NewGuid(), true, []) { ServerRun = "10:00" };

    /// <summary>What its tables and transactions are called says nothing then: rows of two histories would be folded into one.</summary>
    [Theory]
    [InlineData("10:00", false, 1)]
    [InlineData("11:00", false, 2)]
    [InlineData(null, false, 2)]
    [InlineData("10:00", true, 2)]
    public async Task Over_a_gap_tables_are_the_same_only_where_the_source_cannot_have_been_set_back(string? run, bool shown, int relation)
    {
        await using var archive = await HandFedArchive.StartAsync();
        await archive.OpenAsync(Opened);
        await archive.AnswerAsync();
        await archive.AnswerAsync();
        await archive.UntilAsync(vault => vault.BaseChunks.Count == 2);
        await archive.TellAsync();
        await archive.UntilAsync(vault => vault.Bases.Count == 1);

        // The stream begins over, with block 0: it is asked for anew.
        await archive.BreakAsync();
        await archive.OpenAsync(Opened with { Incarnation = Guid.NewGuid(), ServerRun = run, OtherHistory = shown }, HandFedArchive.At(0x10_000));
        await archive.AnswerAsync();
        await archive.AnswerAsync();
        await archive.UntilAsync(vault => vault.BaseChunks.Count == 4);
        await archive.TellAsync();
        await archive.UntilAsync(vault => vault.Bases.Count == 2);
        Assert.Equal(relation, archive.State.Bases[1].Relation);
        Assert.Equal(run == "11:00" || run is null, Assert.Single(archive.State.Gaps).Reason.Contains("cannot show that it was not set back", StringComparison.Ordinal));
        Assert.Equal([relation], archive.State.RelationsAt(new Lsn(archive.Now)).Keys);
    }

    /// <summary>Else a position between the first commit and the first listing would be covered without them.</summary>
    [Fact]
    public async Task Tables_that_are_listed_late_lived_since_the_stretch_began_that_no_listing_had_told()
    {
        await using var archive = await HandFedArchive.StartAsync();
        var began = archive.Now;
        await archive.OpenAsync(Opened, listed: false);
        await archive.UntilAsync(vault => vault.CoveredTo is not null);
        Assert.Empty(archive.State.Relations);

        await archive.BreakAsync();
        await archive.OpenAsync(Opened);
        await archive.UntilAsync(vault => vault.Relations.Count == 1);
        Assert.Equal(new Lsn(began), archive.State.Relations[0].Since);

        // From here on the tables are known: another one has appeared since.
        await archive.BreakAsync();
        await archive.OpenAsync(Opened, more: [HandFedArchive.Accounts with { Oid = 16500, Name = "later" }]);
        await archive.UntilAsync(vault => vault.Relations.Count == 2);
        Assert.InRange(archive.State.Relations[1].Since.Value, began + 0x10, archive.Now);
    }
}
