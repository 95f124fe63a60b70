using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public class CatalogJudgements
{
    const uint Accounts = 16400;

    static CatalogSeen Seen(string snapshot, ulong before, string schema, string columns, string triggers = "A", params uint[] touched) =>
        new(snapshot, new Lsn(before), new Position(1, new Lsn(before + 1)), triggers, schema, columns,
            [.. touched.Select(oid => new TouchedTable(oid, [1, 2]))], [])
        { UnchangedTo = new Lsn(before - 5) };

    static CatalogDesk Desk(out VaultState state)
    {
        var desk = new CatalogDesk(VaultState.Empty);
        Assert.Null(desk.Judge(Seen("700:700:", 0x10, "s", "c"), None));
        state = VaultState.Empty with { Settings = VaultState.Empty.Settings.Add(CatalogDesk.SettingName, desk.Kept()!) };
        return desk;
    }

    static bool None(uint oid, short column) => false;

    static ToldDdl Told(ulong xid, bool vague = false, params uint[] tables) => new(xid, tables.ToHashSet(), vague);

    [Fact]
    public void A_change_that_nobody_told_is_a_gap_of_what_it_touched_since_the_last_look_that_found_nothing()
    {
        var found = Desk(out _).Judge(Seen("710:710:", 0x50, "other", "others", "A", Accounts), None);
        Assert.NotNull(found);
        Assert.True(found.Schema);
        Assert.Equal([Accounts], found.Tables);
        Assert.Equal(new Lsn(0x4B), found.After);
    }

    [Fact]
    public void A_transaction_with_messages_explains_what_only_the_newer_look_sees()
    {
        var desk = Desk(out _);
        desk.Told(Told(705, false, Accounts));
        Assert.Null(desk.Judge(Seen("710:710:", 0x50, "other", "others", "A", Accounts), None));
        // Not seen yet: it explains nothing now, and what it did is explained when it is seen.
        desk.Told(Told(712, false, Accounts));
        Assert.NotNull(desk.Judge(Seen("712:720:712", 0x60, "again", "again", "A", 16500), None));
        Assert.Null(desk.Judge(Seen("720:720:", 0x70, "more", "more", "A", Accounts), None));
    }

    [Fact]
    public void What_capture_did_explains_its_table_and_nothing_of_the_crms()
    {
        var desk = Desk(out _);
        desk.Told(Told(705, false, Accounts) with { Ours = true });
        var found = desk.Judge(Seen("710:710:", 0x50, "other", "others", "A", Accounts, 16500), None);
        Assert.NotNull(found);
        Assert.True(found.Schema);
        Assert.Equal([16500u], found.Tables);
    }

    [Fact]
    public void What_was_told_and_not_seen_is_remembered_over_a_restart()
    {
        var desk = Desk(out _);
        desk.Told(Told(712, false, Accounts));
        var kept = VaultState.Empty with { Settings = VaultState.Empty.Settings.Add(CatalogDesk.SettingName, desk.Kept()!) };
        Assert.Null(new CatalogDesk(kept).Judge(Seen("720:720:", 0x50, "other", "others", "A", Accounts), None));
    }

    [Fact]
    public void Triggers_that_were_in_somebodys_hands_excuse_nothing_but_what_was_named()
    {
        var desk = Desk(out _);
        desk.Told(Told(705, false, Accounts));
        var found = desk.Judge(Seen("710:710:", 0x50, "other", "others", "B", Accounts, 16500), None);
        Assert.NotNull(found);
        Assert.True(found.Schema);
        Assert.Equal([16500u], found.Tables);
    }

    [Fact]
    public void A_command_that_was_not_described_excuses_no_other_table_and_a_value_written_out_is_no_change()
    {
        var desk = Desk(out _);
        desk.Told(Told(705, vague: true));
        Assert.Equal([Accounts], desk.Judge(Seen("710:710:", 0x50, "s", "others", "A", Accounts), None)!.Tables);
        Assert.Null(desk.Judge(Seen("720:720:", 0x60, "s", "written out", "A", Accounts), (_, _) => true));
    }

    [Fact]
    public void A_look_that_finds_nothing_moves_the_beginning_of_a_gap()
    {
        Desk(out var state);
        var desk = new CatalogDesk(state);
        Assert.Equal("700:700:", desk.Seen);
        desk.Unchanged(Seen("710:710:", 0x50, "s", "c") with { At = null });
        Assert.Equal(("710:710:", new Lsn(0x50)), (desk.Seen, desk.Before));
        Assert.NotNull(desk.Kept());
        Assert.Null(desk.Kept());
    }
}
