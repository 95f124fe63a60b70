using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests.Simulation;

enum ChangeKind
{
    Insert,
    Update,
    Delete,
    Truncate,
    /// <summary>A logical message; with <see cref="Change.Table"/>, the DDL that made or dropped it.</summary>
    Message,
}

/// <summary>A table of the simulated CRM. With a key: id, n, doc; without: every column is its identity.</summary>
sealed record CrmTable(uint Oid, string Name, bool HasKey)
{
    public CatalogTable Image(long pages) => new(
        Oid, "public", Name, 'r', 'p', HasKey ? ReplicaIdentity.Default : ReplicaIdentity.Full, HasKey ? [(short)1] : [], Oid, pages,
        [
            new CatalogColumn(1, "id", 23, -1, "integer", false, 'n', null), new CatalogColumn(2, "n", 23, -1, "integer", false, 'n', null),
            new CatalogColumn(3, "doc", 25, -1, "text", false, 'n', null),
        ]);
}

/// <summary>One row as it stands on a page.</summary>
sealed record CrmRow(int Id, int N, string? Doc, int Page)
{
    public string Text => $"{Id}|{N}|{Doc ?? "NULL"}";
}

/// <param name="Row">Which row, by a number that never changes.</param>
/// <param name="DocUnchanged">A TOASTed value that the event does not carry.</param>
/// <param name="Sub">Its subtransaction; 0 = none.</param>
sealed record Change(
    ChangeKind Kind, CrmTable? Table, int Row, CrmRow? Old, CrmRow? New, bool DocUnchanged, Lsn At, uint Sub, string Message = "", bool Drops = false)
{
    /// <summary>Its subtransaction was rolled back.</summary>
    public bool Void { get; set; }
}

sealed class Transaction(ulong xid, bool streamed)
{
    public ulong Xid { get; } = xid;

    /// <summary>So large that the server sends it before its commit.</summary>
    public bool Streamed { get; } = streamed;

    public List<Change> Changes { get; } = [];
    public Lsn CommitRecord { get; set; }
    public Lsn End { get; set; }
    public SourceTime Time { get; set; }
    public bool Visible { get; set; }
    public HashSet<int> LockedRows { get; } = [];
    public HashSet<uint> LockedTables { get; } = [];
    public uint Sub { get; set; }
    public int HighestId { get; set; }
}

enum RecordKind
{
    Change,
    SubAbort,
    Commit,
    Abort,
}

readonly record struct WalRecord(RecordKind Kind, Transaction Transaction, Lsn End, Change? Change, uint Sub = 0);

/// <summary>The WAL of one timeline, from the beginning of the world.</summary>
sealed class Branch(uint timeline, IEnumerable<WalRecord> history)
{
    public uint Timeline { get; } = timeline;

    public List<WalRecord> Records { get; } = [.. history];

    /// <summary>Where it left the timeline before; none where it did not.</summary>
    public Lsn From { get; init; }

    /// <summary>End of its WAL when another branch took its place; none while it is the present one.</summary>
    public Lsn Left { get; set; }

    public IEnumerable<Transaction> Committed => Records.Where(record => record.Kind == RecordKind.Commit).Select(record => record.Transaction);

    /// <summary>The state at an end LSN: what a restore must give.</summary>
    public CrmState At(Lsn at) => CrmState.Of(Committed.Where(transaction => transaction.End <= at));
}

/// <summary>Rows by table, made of transactions.</summary>
sealed class CrmState
{
    public Dictionary<uint, CrmTable> Tables { get; } = [];
    public Dictionary<int, (uint Table, CrmRow Row)> Rows { get; } = [];

    public static CrmState Of(IEnumerable<Transaction> transactions)
    {
        var state = new CrmState();
        foreach (var transaction in transactions)
            foreach (var change in transaction.Changes)
                if (!change.Void)
                    state.Apply(change);
        return state;
    }

    void Apply(Change change)
    {
        switch (change.Kind)
        {
            case ChangeKind.Insert or ChangeKind.Update: Rows[change.Row] = (change.Table!.Oid, change.New!); break;
            case ChangeKind.Delete: Rows.Remove(change.Row); break;
            case ChangeKind.Truncate: RemoveAll(change.Table!.Oid); break;
            case ChangeKind.Message when change.Table is { } table:
                if (!change.Drops)
                    Tables.Add(table.Oid, table);
                else if (Tables.Remove(table.Oid))
                    RemoveAll(table.Oid);
                break;
        }
    }

    void RemoveAll(uint table)
    {
        foreach (var row in Rows.Where(row => row.Value.Table == table).Select(row => row.Key).ToList())
            Rows.Remove(row);
    }

    public List<string> RowsOf(uint table)
    {
        var rows = Rows.Values.Where(row => row.Table == table).Select(row => row.Row.Text).ToList();
        rows.Sort(StringComparer.Ordinal);
        return rows;
    }

    /// <summary>What pg_dump would say.</summary>
    public string Schema => string.Join('\n', Tables.Values.OrderBy(table => table.Oid).Select(table => $"CREATE TABLE {table.Name}"));
}
