using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>A base of two chunks is under way, and the first is in the vault.</summary>
public class GivenUpBases
{
    static readonly StreamOpened Opened = new(default, default, 150020, "crm", Guid.Empty, true, []);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_a_base_read_before_a_silent_change_is_not_gone_on_with(bool publication)
    {
        await using var archive = await HandFedArchive.StartAsync();
        var look = new CatalogSeen("700:700:", new Lsn(archive.Now), HandFedArchive.At(archive.Now + 4), "triggers", "schema", "columns", [], []);
        await archive.OpenAsync(Opened, look: look);
        Assert.Equal(0, (await archive.AnswerAsync()).FromPage);
        await archive.UntilAsync(vault => vault.BaseChunks.Count == 1);

        look = look with { Snapshot = "710:710:", Before = new Lsn(archive.Now), At = HandFedArchive.At(archive.Now + 4) };
        await archive.TellAsync(publication ? look with { PublicationDamage = "publication crmbackup was altered" }
            : look with { Columns = "others", Touched = [new TouchedTable(HandFedArchive.Accounts.Oid, [1])] });
        await archive.OpenAsync(Opened);
        Assert.Equal("1", archive.State.Settings[$"{Setting.VoidedBase}1"]);
        Assert.Equal(publication, archive.State.Gaps.Any(gap => gap.Scope == GapScope.Database));

        Assert.Equal(0, (await archive.AnswerAsync()).FromPage);
        Assert.Equal(1, (await archive.AnswerAsync()).FromPage);
        await archive.UntilAsync(vault => vault.BaseChunks.Count == 3);
        await archive.TellAsync();
        await archive.UntilAsync(vault => vault.Bases.Count == 1);
        Assert.Equal(2, archive.State.Bases[0].BaseId);
        Assert.All(archive.State.Segments.Values.Where(segment => segment.Kind == SegmentKind.Base), segment => Assert.Equal(2, segment.BaseId));
    }
}
