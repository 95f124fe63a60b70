using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("postgres")]
public sealed class CatalogTests(PostgresFixture postgres)
{
    [Fact]
    public async Task The_inventory_is_what_the_publication_sends_with_every_column_exact()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("""
            CREATE SCHEMA "We ird"; CREATE TYPE "We ird".stage AS ENUM ('new', 'won');
            CREATE TABLE "We ird"."t;able" (gone int, id bigint PRIMARY KEY, price numeric(12,2), stage "We ird".stage[], twice int GENERATED ALWAYS AS (1 + 1) STORED);
            ALTER TABLE "We ird"."t;able" DROP COLUMN gone;
            INSERT INTO "We ird"."t;able" VALUES (1);
            ALTER TABLE "We ird"."t;able" ADD text text DEFAULT E'a"\\,{}\n NULL', ADD nothing text DEFAULT 'NULL', ADD empty text DEFAULT '',
                ADD list int[] DEFAULT '{1,NULL}', ADD boxed box DEFAULT '(1,1),(0,0)', ADD at timestamptz DEFAULT '2020-01-01 00:00+02',
                ADD raw bytea DEFAULT '\x00ff', ADD f float8 DEFAULT 0.1::float8 + 0.2::float8, ADD plain int;
            CREATE TABLE part (id int, k int NOT NULL, PRIMARY KEY (k, id)) PARTITION BY LIST (k);
            CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
            CREATE TABLE loose (a int, b int);
            CREATE TABLE late_key (a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
            CREATE UNLOGGED TABLE fast (a int); CREATE TEMP TABLE tmp (a int); CREATE VIEW v AS SELECT 1;
            """);
        await source.InitAsync();
        var tables = await TableCatalog.ReadAsync(source.Ours, default);
        Assert.Equal(["late_key", "loose", "part_1", "t;able"], tables.Select(table => table.Name).Order(StringComparer.Ordinal));
        foreach (var table in tables)
        {
            var image = await TableCatalog.FindAsync(source.Ours, table.Oid, default);
            Assert.Equal(table.Columns, image!.Columns);
            Assert.Equal(table.KeyColumns, image.KeyColumns);
            Assert.Equal(table with { Columns = [], KeyColumns = [] }, image with { Columns = [], KeyColumns = [] });
        }
        // A deferrable key is no identity: an UPDATE would have failed.
        Assert.Equal(ReplicaIdentity.Full, tables.Single(table => table.Name == "late_key").Identity);
        Assert.Equal(ReplicaIdentity.Full, tables.Single(table => table.Name == "loose").Identity);
        Assert.Equal([1, 2], tables.Single(table => table.Name == "part_1").KeyColumns);

        var weird = tables.Single(table => table.Name == "t;able");
        Assert.Equal([2], weird.KeyColumns);
        Assert.Equal(("We ird", 'r', 'p', 1L), (weird.Schema, weird.Kind, weird.Persistence, weird.Pages));
        Assert.Equal("id bigint n, price numeric(12,2) n, stage \"We ird\".stage[] n, twice integer s",
            string.Join(", ", weird.Columns.Take(4).Select(column => $"{column.Name} {column.TypeName} {column.Generated}")));
        Assert.Equal(["a\"\\,{}\n NULL", "NULL", "", "{1,NULL}", "(1,1),(0,0)", "2019-12-31 22:00:00+00", "\\x00ff", "0.30000000000000004", null],
            weird.Columns.Skip(4).Select(column => column.MissingValue));
        Assert.Null(await TableCatalog.FindAsync(source.Ours, 1, default));
    }

    [Fact]
    public async Task Who_drops_a_table_makes_no_reader_of_the_catalog_fail()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("CREATE TABLE stays (a int PRIMARY KEY); CREATE TABLE goes (a int PRIMARY KEY)");
        await source.InitAsync();
        await source.CrmAsync("BEGIN; DROP TABLE goes");
        await using var watch = await SourceWatch.OpenAsync(ConnectionText.Parse(source.ConnectionString), TimeProvider.System, default);
        Assert.Equal(["goes", "stays"], (await watch.TakeInventoryAsync(1, default)).Tables.Select(table => table.Name).Order(StringComparer.Ordinal));
        Assert.False(await watch.TellChangesAsync(default));
        // One table is measured, which waits for the end of its DROP: its size is then that of no table.
        var oid = await source.OidAsync("goes");
        var found = TableCatalog.FindAsync(watch.Connection, oid, default);
        await Eventually.TrueAsync(async () => (bool)(await postgres.Server.ExecuteAsync(
            $"SELECT EXISTS (SELECT FROM pg_locks WHERE relation = {oid} AND NOT granted)"))!, TimeSpan.FromSeconds(30), "the image to wait");
        await source.CrmAsync("COMMIT");
        Assert.Equal(0, (await found)!.Pages);
        Assert.Equal(["stays"], (await watch.TakeInventoryAsync(1, default)).Tables.Select(table => table.Name));
    }

    [Fact]
    public async Task Sequences_are_read_exactly_called_or_not()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("""
            CREATE TABLE a (id bigserial, other int GENERATED ALWAYS AS IDENTITY, plain int);
            CREATE SEQUENCE "s;2" START 7 INCREMENT -2 MAXVALUE 10; CREATE SEQUENCE never; CREATE SEQUENCE set_back;
            CREATE SEQUENCE used; ALTER TABLE a ALTER plain SET DEFAULT nextval('used'); CREATE TEMP SEQUENCE not_me;
            SELECT nextval('a_id_seq'), nextval('a_id_seq'), nextval('"s;2"'), setval('set_back', 42, false);
            """);
        await using var reader = new SequenceReader(source.Ours);
        string Text(IEnumerable<SequenceState> states) => string.Join("; ", states.Select(state =>
            $"{state.Name} {state.LastValue} {state.IsCalled} {state.Increment} {state.OwnedByTable} {state.OwnedByColumn}"));
        Assert.Equal("a_id_seq 2 True 1 public.a 1; a_other_seq 1 False 1 public.a 2; never 1 False 1  0; s;2 7 True -2  0; set_back 42 False 1  0; used 1 False 1 public.a 3",
            Text(await reader.ReadAsync(default)));

        // Dropped between list and read, or held by a migration: the others are still read.
        await source.CrmAsync("BEGIN; DROP SEQUENCE never; SELECT nextval('used')");
        Assert.Equal("a_id_seq, a_other_seq, s;2, set_back, used 1 True",
            string.Join(", ", (await reader.ReadAsync(default)).Select(state => state.Name == "used" ? $"used {state.LastValue} {state.IsCalled}" : state.Name)));
        await source.CrmAsync("COMMIT; CREATE SEQUENCE fresh");
        Assert.Equal("a_id_seq, a_other_seq, fresh, s;2, set_back, used",
            string.Join(", ", (await reader.ReadAsync(default)).Select(state => state.Name)));
    }
}
