using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public class ArchivedStream
{
    const uint Accounts = 16400;
    readonly LogSegmentBuilder _events = new();
    readonly PendingCommit _pending = new();
    readonly SourceTables _tables = new(VaultState.Empty);

    EventReader From(ulong position) =>
        new(_tables, _events, _pending, new DefinitionOrder(0), new Position(1, new Lsn(position)));

    static CatalogTable Image(uint oid, string name, params string[] columns) =>
        new(oid, "public", name, 'r', 'p', ReplicaIdentity.Default, [1], 1, 1,
            [.. columns.Select((column, i) => new CatalogColumn((short)(i + 1), column, 25, -1, "text", false, 'n', null))]);

    static string ImageJson(uint oid, string name, params string[] columns) => $$"""
        {"oid":{{oid}},"schema":"public","name":"{{name}}","kind":"r","persistence":"p","identity":"default","keyColumns":[1],"fileNode":2,"pages":1,
        "columns":[{{string.Join(',', columns.Select((column, i) =>
            $$"""{"attNum":{{i + 1}},"name":"{{column}}","typeOid":25,"typeMod":-1,"typeName":"text","notNull":false,"generated":"n","missingValue":null}"""))}}]}
        """;

    static void Read(EventReader reader, params byte[][] entries)
    {
        foreach (var entry in entries)
            reader.Read(entry);
    }

    string[] Events => [.. Enumerable.Range(0, _events.CompleteRows).Select(row => _events[row]).Select(one =>
        $"{one.CommitLsn} {one.Xid} {one.Ordinal} {(char)one.Kind} {one.Relation}.{one.Shape} {(one.NewTuple.IsEmpty ? "" : Frames.Values(one.NewTuple.Span))}".TrimEnd())];

    [Fact]
    public void Events_carry_their_commit_end_and_their_place_in_the_transaction()
    {
        _tables.Remember(Image(Accounts, "accounts", "id", "name"));
        var reader = From(0x10);
        Read(reader, Frames.Begin(700, 0x20), Frames.Relation(Accounts, "public", "accounts", ("id", 25, true), ("name", 25, false)),
            Frames.Insert(Accounts, "1", "Ann"), Frames.Update(Accounts, "1", "\u0001"), Frames.Truncate(Accounts), Frames.Commit(0x20, 0x30));
        Assert.Equal(["0/30 700 0 I 1.1 1|Ann", "0/30 700 1 U 1.1 1|unchanged", "0/30 700 2 T 1.1"], Events);
        Assert.Equal(new Lsn(0x30), reader.Position.Lsn);
        Assert.Equal(new Lsn(0x30), Assert.Single(_pending.Relations).Since);
    }

    [Fact]
    public void A_transaction_that_the_vault_holds_is_dropped_whole_and_by_position()
    {
        _tables.Remember(Image(Accounts, "accounts", "id"));
        var reader = From(0x30);
        Read(reader, Frames.Begin(700, 0x20), Frames.Relation(Accounts, "public", "accounts", ("id", 25, true)), Frames.Insert(Accounts, "1"),
            Frames.Commit(0x20, 0x30), Frames.Begin(699, 0x30), Frames.Relation(Accounts, "public", "accounts", ("id", 25, true)),
            Frames.Insert(Accounts, "2"), Frames.Commit(0x30, 0x40));
        Assert.Equal(["0/40 699 0 I 1.1 2"], Events);
    }

    [Fact]
    public void A_table_created_by_the_stream_is_covered_from_its_creation_though_its_rows_came_first()
    {
        var reader = From(0x10);
        Read(reader, Frames.Begin(700, 0x20), Frames.Relation(Accounts, "public", "copied", ("id", 25, false)), Frames.Insert(Accounts, "1"),
            Frames.OwnMessage($$"""{"is":"ddl","command":"CREATE TABLE AS","tables":[{{ImageJson(Accounts, "copied", "id")}}],"created":[{{Accounts}}],"dropped":[],"schemaChanged":true}"""),
            Frames.Commit(0x20, 0x30));
        var born = Assert.Single(_pending.Bases);
        Assert.Equal((1, 1, new Lsn(0x30)), (born.Relation, born.BaseId, born.From.Lsn));
        Assert.Equal("text", Assert.Single(_pending.Relations).Columns[0].TypeName);
        Assert.Empty(reader.BasesNeeded);
        Assert.Equal((new Lsn(0x30), false), Assert.Single(reader.SchemaChanges));
        // The functions of an older version describe nothing.
        Assert.Equal(GapScope.Schema, Assert.Single(_pending.Gaps).Scope);
    }

    [Fact]
    public void A_table_that_nobody_explained_needs_a_base()
    {
        var reader = From(0x10);
        Read(reader, Frames.Begin(700, 0x20), Frames.Relation(Accounts, "public", "found", ("id", 25, false)), Frames.Insert(Accounts, "1"),
            Frames.Commit(0x20, 0x30));
        Assert.Empty(_pending.Bases);
        Assert.Equal(1, Assert.Single(reader.BasesNeeded).Relation);
    }

    [Fact]
    public void A_rewrite_sent_again_voids_the_rows_and_gives_the_new_ones()
    {
        _tables.Apply(Image(Accounts, "accounts", "id"));
        _tables.Commit(new Lsn(1));
        var reader = From(0x10);
        Read(reader, Frames.Begin(700, 0x20),
            Frames.OwnMessage($$"""{"is":"ddl","command":"ALTER TABLE","tables":[{{ImageJson(Accounts, "accounts", "id", "note")}}],"schemaChanged":true,"schema":{"units":[] } }"""),
            Frames.OwnMessage($$"""{"is":"rewrite","table":{{ImageJson(Accounts, "accounts", "id", "note")}},"reemitted":true}"""),
            Frames.OwnMessage($$"""{"is":"rows","oid":{{Accounts}},"rows":["(1,\"a \"\"b\"\"\")","(2,)"]}"""),
            Frames.Commit(0x20, 0x30));
        Assert.Equal(["W 1.2", "I 1.2 1|a \"b\"", "I 1.2 2|NULL"], Events.Where(one => !one.Contains(" M ")).Select(one => one[one.IndexOfAny(['W', 'I'])..]));
        Assert.Empty(_pending.Gaps);
    }

    [Theory]
    [InlineData("true", true)]
    [InlineData("false", false)]
    public void A_table_that_becomes_logged_is_covered_at_once_when_its_rows_are_told(string reemitted, bool covered)
    {
        var reader = From(0x10);
        Read(reader, Frames.Begin(700, 0x20),
            Frames.OwnMessage($$"""{"is":"ddl","command":"ALTER TABLE","tables":[{{ImageJson(Accounts, "accounts", "id")}}],"schemaChanged":true,"schema":{"units":[] } }"""),
            Frames.OwnMessage($$"""{"is":"rewrite","table":{{ImageJson(Accounts, "accounts", "id")}},"reemitted":{{reemitted}}}"""),
            Frames.OwnMessage($$"""{"is":"rows","oid":{{Accounts}},"rows":["(1)"]}"""), Frames.Commit(0x20, 0x30));
        Assert.Equal(covered, _pending.Bases.Count == 1 && _pending.Gaps.Count == 0);
        Assert.Equal(!covered, _pending.Gaps.Count == 1 && reader.BasesNeeded.Count == 1);
    }

    [Fact]
    public void A_rewrite_not_sent_again_is_a_gap_of_that_table_from_before_it()
    {
        _tables.Apply(Image(Accounts, "accounts", "id"));
        _tables.Commit(new Lsn(1));
        var reader = From(0x10);
        Read(reader, Frames.Begin(700, 0x20),
            Frames.OwnMessage($$"""{"is":"rewrite","table":{{ImageJson(Accounts, "accounts", "id")}},"reemitted":false,"reason":"20 MB"}"""),
            Frames.Commit(0x20, 0x30));
        var gap = Assert.Single(_pending.Gaps);
        Assert.Equal((GapScope.Relation, 1, new Lsn(0x10)), (gap.Scope, gap.Relation, gap.After.Lsn));
        Assert.Single(reader.BasesNeeded);
    }

    [Fact]
    public void A_type_changed_without_a_rewrite_that_nobody_can_tell_older_values_in_is_a_gap_until_the_table_is_read_again()
    {
        _tables.Apply(Image(Accounts, "accounts", "id"));
        _tables.Commit(new Lsn(1));
        var reader = From(0x10);
        Read(reader, Frames.Begin(700, 0x20),
            Frames.OwnMessage($$"""{"is":"ddl","command":"ALTER TABLE","tables":[{{Retyped(1043)}}],"schemaChanged":true,"schema":{"units":[] } }"""),
            Frames.Commit(0x20, 0x30), Frames.Begin(701, 0x40),
            Frames.OwnMessage($$"""{"is":"ddl","command":"ALTER TABLE","tables":[{{Retyped(2205)}}],"schemaChanged":true,"schema":{"units":[] } }"""),
            Frames.OwnMessage($$"""{"is":"rewrite","table":{{Retyped(2205)}},"reemitted":true}"""),
            Frames.Commit(0x40, 0x50));
        // Texts stay texts, and a rewrite tells every row.
        Assert.Empty(_pending.Gaps);
        Read(reader, Frames.Begin(702, 0x60),
            Frames.OwnMessage($$"""{"is":"ddl","command":"ALTER TABLE","tables":[{{Retyped(26)}}],"schemaChanged":true,"schema":{"units":[] } }"""),
            Frames.Commit(0x60, 0x70));
        Assert.Equal(new Lsn(0x50), Assert.Single(_pending.Gaps).After.Lsn);
        Assert.Single(reader.BasesNeeded);

        static string Retyped(int type) => ImageJson(Accounts, "accounts", "id").Replace("\"typeOid\":25", $"\"typeOid\":{type}", StringComparison.Ordinal);
    }

    /// <summary>The type changed while the transaction was under way. The server may tell the rows of before either way.</summary>
    [Fact]
    public void Rows_written_before_an_attribute_gave_way_to_another_are_a_gap()
    {
        _tables.Apply(Composite(1, 2));
        _tables.Commit(new Lsn(1));
        _tables.Apply(Composite(1, 3));
        _tables.Commit(new Lsn(0x20));
        var reader = From(0x20);
        Read(reader, Frames.Begin(700, 0x30), Frames.Insert(Accounts, "(a,old)"), Frames.Written(0x10), Frames.Insert(Accounts, "(b,old)"), Frames.Written(0x28),
            Frames.Insert(Accounts, "(c,new)"), Frames.Written(0x8), Frames.Insert(Accounts, "(d,old)"), Frames.Written(0), Frames.Insert(Accounts, "(e,new)"),
            Frames.Commit(0x30, 0x40));
        Assert.Equal(["1.2 (a,old)", "1.2 (b,old)", "1.2 (c,new)", "1.2 (d,old)", "1.2 (e,new)"], Events.Select(one => one[(one.IndexOf('I', StringComparison.Ordinal) + 2)..]));
        Assert.Equal((1, new Lsn(0x20)), (Assert.Single(_pending.Gaps).Relation, _pending.Gaps[0].After.Lsn));
        Assert.Single(reader.BasesNeeded);
        // None was written before.
        Read(reader, Frames.Begin(701, 0x50), Frames.Written(0x28), Frames.Insert(Accounts, "(f,new)"), Frames.Commit(0x50, 0x60));
        Assert.Single(reader.BasesNeeded);

        static CatalogTable Composite(params short[] attributes)
        {
            var table = Image(Accounts, "accounts", "at");
            return table with { Columns = [table.Columns[0] with { Rule = new CompositeRule([.. attributes.Select(number => new AttributeRule(number))]) }] };
        }
    }

    [Fact]
    public void What_says_by_itself_when_it_was_written_is_no_gap()
    {
        var table = Image(Accounts, "accounts", "mood");
        ValueRule[] rules =
        [
            new CompositeRule([new(1, new EnumRule([new(1, "a")]))]), new CompositeRule([new(1, new EnumRule([new(1, "a"), new(2, "b")])), new(2)]),
            new CompositeRule([new(1, new EnumRule([new(1, "a"), new(2, "c")])), new(2), new(3)]),
        ];
        foreach (var (number, rule) in rules.Index())
        {
            _tables.Apply(table with { Columns = [table.Columns[0] with { Rule = rule }] });
            _tables.Commit(new Lsn((uint)number * 8 + 1));
        }
        var reader = From(0x20);
        Read(reader, Frames.Begin(700, 0x30), Frames.Written(0x6), Frames.Insert(Accounts, "(a)"), Frames.Commit(0x30, 0x40));
        Assert.Empty(_pending.Gaps);
        Assert.Empty(reader.BasesNeeded);
    }

    [Fact]
    public void An_ALTER_that_was_not_described_is_a_gap_of_the_tables_whose_values_a_type_of_ours_writes()
    {
        _tables.Apply(Image(Accounts, "accounts", "id"));
        var moody = Image(Accounts + 1, "moods", "id");
        _tables.Apply(moody with { Columns = [moody.Columns[0] with { Rule = new EnumRule([new EnumLabel(1, "fine")]) }] });
        _tables.Commit(new Lsn(1));
        var reader = From(0x10);
        Read(reader, Frames.Begin(700, 0x20),
            Frames.OwnMessage("""{"is":"ddl","command":"ALTER TYPE","tables":[],"schemaChanged":true,"incomplete":"canceling statement due to lock timeout"}"""),
            Frames.Commit(0x20, 0x30));
        Assert.Equal([(GapScope.Relation, 2), (GapScope.Schema, 0)], _pending.Gaps.Select(gap => (gap.Scope, gap.Relation)).Order());
        Assert.Equal(2, Assert.Single(reader.BasesNeeded).Relation);
    }

    [Fact]
    public void Unknown_entries_and_contradictions_stop_the_work()
    {
        var reader = From(0x10);
        Assert.Throws<FormatViolationException>(() => reader.Read([0x7F, 1]));
        Assert.Throws<FormatViolationException>(() => reader.Read(Frames.Insert(Accounts, "1")));
        Read(reader, Frames.Begin(700, 0x20));
        Assert.Throws<FormatViolationException>(() => reader.Read(Frames.Begin(701, 0x30)));
        Assert.Throws<FormatViolationException>(() => reader.Read(Frames.Insert(Accounts, "1")));
        Assert.Throws<FormatViolationException>(() => reader.Read(Frames.Commit(0x21, 0x30)));
    }
}
