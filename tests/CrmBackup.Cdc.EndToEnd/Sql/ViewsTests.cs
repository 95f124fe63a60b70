using System.Text;
using CrmBackup.Cdc.Core;
using DuckDB.NET.Data;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd.Sql;

/// <summary>What analysts see of a table with odd values and a past:
/// <code>
///  0/100 barrier: bases of accounts (1) and prices (2, no key)   time 0
///  0/200 xid 20: accounts inserted, changed                     time 100 s
///  0/300 xid 30: column renamed, one added, one widened; update time 200 s
///  0/400 xid 40: prices change                                  time 300 s
///  0/500 xid 50: accounts updated                               time 250 s (the clock was set back)
/// </code></summary>
public sealed class ViewsTests : IAsyncLifetime
{
    const string Unchanged = "\0";

    static readonly RelationShape First = new(1, 1, new Lsn(0x10), 16401, "crm", "Accounts", ReplicaIdentity.Default,
    [
        Column(1, "id", 20, "bigint", key: true), Column(2, "date", 1082, "date"), Column(3, "_op", 25, "text"),
        Column(5, "total", 1700, "numeric(9,2)", typeMod: ((9 << 16) | 2) + 4), Column(6, "seen", 1184, "timestamp with time zone"),
        Column(7, "raw", 17, "bytea"), Column(8, "say \"hi\"/x", 3802, "jsonb"),
    ]);

    static readonly RelationShape Second = First with
    {
        Version = 2,
        Since = new Lsn(0x300),
        Columns =
        [
            First.Columns[0], First.Columns[1] with { Name = "day" }, First.Columns[2],
            Column(5, "total", 1700, "numeric(12,2)", typeMod: ((12 << 16) | 2) + 4), .. First.Columns.Skip(4),
            Column(9, "stage", 25, "text") with { MissingValue = "new" },
        ],
    };

    static readonly RelationShape Prices = new(2, 1, new Lsn(0x10), 16402, "crm", "prices", ReplicaIdentity.Full,
        [Column(1, "f", 701, "double precision", key: true), Column(2, "at", 1114, "timestamp without time zone", key: true)]);

    AnalystsVault _vault = null!;

    public async Task InitializeAsync()
    {
        _vault = await AnalystsVault.CreateAsync();
        await _vault.CommitAsync(new CommitContent { Relations = [First, Prices, Second] });
        await _vault.BaseAsync(First, 1, new Lsn(0x100), ("10:10:",
        [
            Tuple("1", "2024-02-29", "I", "12.50", "2026-11-22 10:00:00.5+00", "\\xdead", "{\"a\": 1}"),
            Tuple("2", "infinity", null, "NaN", "infinity", "\\x", "null"),
            Tuple("3", "0044-03-15 BC", "", null, null, null, null),
        ]));
        await _vault.BaseAsync(Prices, 1, new Lsn(0x100), ("10:10:",
        [
            Tuple("0", "2024-01-01 00:00:00"), Tuple("-0", "2024-01-01 00:00:00"), Tuple("NaN", "infinity"), Tuple("NaN", "infinity"),
        ]));
        await _vault.LogAsync(
        [
            Event(0x100, 0, 12, 0, EventKind.Message, null, null, Tuple("crmbackup", "{}")),
            Event(0x200, 100, 20, 0, EventKind.Insert, First, null, Tuple("4", "2024-01-01", null, "1.00", null, null, "[]")),
            Event(0x200, 100, 20, 1, EventKind.Update, First, null, Tuple("1", "2024-02-29", "I", "13.00", "2026-11-22 10:00:00.5+00", Unchanged, Unchanged)),
            Event(0x200, 100, 20, 2, EventKind.Update, First, Tuple("2", null, null, null, null, null, null), Tuple("20", "infinity", null, Unchanged, "infinity", "\\x01", "null")),
            Event(0x200, 100, 20, 3, EventKind.Delete, First, Tuple("3", null, null, null, null, null, null), null),
            Event(0x300, 200, 30, 0, EventKind.Message, null, null, Tuple("crmbackup", "{}")),
            Event(0x300, 200, 30, 1, EventKind.Update, Second, null, Tuple("4", "2024-01-02", null, "1234567.00", null, null, "[]", null)),
            Event(0x400, 300, 40, 0, EventKind.Update, Prices, Tuple("0", "2024-01-01 00:00:00"), Tuple("1e+20", "2024-01-01 00:00:00")),
            Event(0x400, 300, 40, 1, EventKind.Delete, Prices, Tuple("NaN", "infinity"), null),
            Event(0x500, 250, 50, 0, EventKind.Insert, Second, null, Tuple("5", null, null, null, null, null, null, null)),
        ], [First, Second, Prices], new Lsn(0x500));
        await _vault.SettleAsync();
        // After the watermark, and a file of a crash that no commit names.
        await _vault.LogAsync([Event(0x600, 600, 60, 0, EventKind.Insert, Second, null, Tuple("6", null, null, null, null, null, null, null))],
            [First, Second, Prices], new Lsn(0x600));
        var real = Directory.GetFiles(_vault.Root, "*.parquet", SearchOption.AllDirectories).First(file => file.Contains("changes", StringComparison.Ordinal));
        File.Copy(real, Path.Combine(Path.GetDirectoryName(real)!, "00000009-000000000009.parquet"));
        _vault.OpenViews();
    }

    public Task DisposeAsync()
    {
        _vault.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public void The_newest_settled_state_has_typed_columns_and_the_exact_text_of_what_no_type_holds()
    {
        Assert.Equal(
        [
            "id BIGINT", "day DATE", "op_3 VARCHAR", "total DECIMAL(12,2)", "seen TIMESTAMP WITH TIME ZONE", "raw BLOB", "say \"hi\"/x JSON",
            "stage VARCHAR", "_exceptions JSON",
        ], _vault.Columns("FROM crm.\"Accounts\""));
        Assert.Equal(
        [
            "1 | 2024-02-29 | I | 13.00 | 2026-11-22 10:00:00.5+00 | \\xDE\\xAD | {\"a\": 1} | new",
            "20 | infinity | ∅ | ∅ | infinity | \\x01 | null | new | {\"day\":\"infinity\",\"total\":\"NaN\",\"seen\":\"infinity\"}",
            "4 | 2024-01-02 | ∅ | 1234567.00 | ∅ | ∅ | [] | ∅",
            "5 | ∅ | ∅ | ∅ | ∅ | ∅ | ∅ | ∅",
        ], Texts("FROM crm.\"Accounts\""));
    }

    [Fact]
    public void A_state_in_the_past_has_the_columns_of_its_time()
    {
        Assert.Equal(["id", "date", "op_3", "total", "seen", "raw", "say", "_exceptions"],
            _vault.Columns("FROM crm.\"Accounts_at\"('0/2FF')").Select(column => column.Split(' ')[0]));
        Assert.Equal(["1", "20", "4"], _vault.Query("SELECT id::VARCHAR FROM crm.\"Accounts_at\"('0/200')"));
        Assert.Equal(["1 | 12.50", "2 | ∅", "3 | ∅"], Texts("SELECT id, total FROM crm.\"Accounts_at\"('0/1FF')"));
        Assert.Equal(["0044-03-15 BC"], _vault.Query("SELECT _exceptions ->> 'date' FROM crm.\"Accounts_at\"('0/1FF') WHERE id = 3"));
        Assert.Equal(["4 | ∅"], Texts($"SELECT id, stage FROM crm.\"Accounts_as_of\"('{At(200)}') WHERE id = 4"));
        Assert.Equal(["4 | 1.00"], Texts($"SELECT id, total FROM crm.\"Accounts_as_of\"('{At(199)}') WHERE id = 4"));
    }

    [Fact]
    public void A_time_means_the_state_before_the_first_commit_that_is_later()
    {
        // 0/500 is older by the clock than 0/400, and lies behind it.
        Assert.Equal(["3"], Texts($"SELECT count(*) FROM crm.\"Accounts_as_of\"('{At(260)}')"));
        Assert.Equal(["4"], Texts($"SELECT count(*) FROM crm.\"Accounts_as_of\"('{At(300)}')"));
    }

    [Fact]
    public void A_table_without_a_key_keeps_its_duplicates_and_minus_zero()
    {
        Assert.Equal(["-0.0 | 2024-01-01 00:00:00", "1e+20 | 2024-01-01 00:00:00", "nan | infinity"], Texts("SELECT f, \"at\" FROM crm.prices"));
        Assert.Equal(["4"], Texts("SELECT count(*) FROM crm.prices_at('0/3FF')"));
    }

    [Theory]
    [InlineData("crm.\"Accounts_at\"('0/501')", "beyond what is settled")]
    [InlineData("crm.\"Accounts_as_of\"('2026-12-31 00:00:00+00')", "beyond what is settled")]
    [InlineData("crm.\"Accounts_at\"('0/FF')", "not known there")]
    [InlineData("crm.\"Accounts_as_of\"('2020-01-01 00:00:00+00')", "not known there")]
    [InlineData("crm.\"Accounts_as_of\"('2026-11-22 10:00:00')", "zone")]
    [InlineData("crm.\"Accounts_as_of\"(TIMESTAMP '2026-11-22 10:00:00')", "zone")]
    public void What_is_not_known_is_an_error_and_never_a_short_answer(string from, string why)
    {
        var error = Assert.Throws<DuckDBException>(() => _vault.Query($"FROM {from}"));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void History_shows_every_event_with_old_keys_and_newest_names()
    {
        Assert.Equal(
        [
            "0/200 | 0 | I | 4 | 2024-01-01 | ∅ | ∅", "0/200 | 1 | U | 1 | 2024-02-29 | ∅ | [\"raw\",\"say \\\"hi\\\"/x\"]",
            "0/200 | 2 | U | 20 | ∅ | 2 | [\"total\"]", "0/200 | 3 | D | ∅ | ∅ | 3 | ∅", "0/300 | 1 | U | 4 | 2024-01-02 | ∅ | ∅",
            "0/500 | 0 | I | 5 | ∅ | ∅ | ∅",
        ], Texts("SELECT _lsn, _seq, _op, id, day, _old_id, _unchanged FROM crm.\"Accounts_history\""));
    }

    [Fact]
    public async Task The_same_text_stands_in_the_vault()
    {
        await _vault.WriteViewsAsync();
        var file = Directory.GetFiles(Path.Combine(_vault.Root, "sql")).Single();
        var text = await File.ReadAllTextAsync(file);
        // The first line is the hash by which verify knows it.
        Assert.StartsWith("-- sha256 ", text);
        Assert.Equal(_vault.Script, text[(text.IndexOf('\n') + 1)..]);
    }

    List<string> Texts(string sql) => _vault.Query($"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({sql})");

    static string At(int seconds) => new SourceTime(AnalystsVault.Start.UnixMicroseconds + seconds * 1_000_000L).ToString();

    static ColumnShape Column(short attNum, string name, uint type, string typeName, bool key = false, int typeMod = -1) =>
        new(attNum, name, type, typeMod, typeName, key);

    static ChangeEvent Event(
        ulong lsn, int seconds, ulong xid, int ordinal, EventKind kind, RelationShape? shape, byte[]? old, byte[]? @new) => new(
        new Lsn(lsn), new SourceTime(AnalystsVault.Start.UnixMicroseconds + seconds * 1_000_000L), xid, ordinal, kind, shape?.Number ?? 0,
        shape?.Version ?? 0, old is null ? OldTupleKind.None : shape!.HasKey ? OldTupleKind.Key : OldTupleKind.Full, old, @new);

    static byte[] Tuple(params string?[] columns)
    {
        var writer = new TupleWriter();
        writer.Begin();
        foreach (var column in columns)
            if (column is null)
                writer.Null();
            else if (column == Unchanged)
                writer.Unchanged();
            else
                writer.Text(Encoding.UTF8.GetBytes(column));
        return writer.End().ToArray();
    }
}
