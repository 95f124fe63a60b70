using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>Does to the server what a CRM does: transactions side by side, some rolled back, some large; keys changed and used again; values
/// that updates do not carry; tables made, emptied and dropped; marks.</summary>
sealed class SimulatedCrm(World world)
{
    public const int Pages = 4;
    const int TransactionsMax = 3, TablesMax = 4;
    readonly SimulatedServer _server = world.Server;
    readonly Random _random = world.Random;
    readonly List<(uint Table, int Id)> _freeKeys = [];
    uint _nextOid = 16400;
    int _nextRow;
    int _marks;

    /// <summary>By name, the marking transaction and its end.</summary>
    public Dictionary<string, (Transaction By, Position At)> Marks { get; } = [];

    IEnumerable<Transaction> Open => _server.Running.Where(transaction => transaction.End.IsNone);

    public void CreateTables(int rows)
    {
        CreateTable(hasKey: true);
        if (_random.Next(2) == 0)
            CreateTable(hasKey: false);
        Quiesce();
        for (var i = 0; i < rows; i++)
        {
            var transaction = _server.Begin();
            Insert(transaction, Pick(_server.Visible().Tables.Values.ToList())!);
            _server.Commit(transaction);
            _server.BecomeVisible(transaction);
        }
    }

    public void Step()
    {
        if (!_server.Up)
            return;
        switch (_random.Next(100))
        {
            case < 18 when Open.Count() < TransactionsMax: _server.Begin(streamed: _random.Next(6) == 0); break;
            case < 38 when Pick(Open.Where(one => one.Changes.Count > 0).ToList()) is { } ending: End(ending); break;
            case < 50 when Pick(_server.Running.Where(one => !one.End.IsNone).ToList()) is { } committed:
                if (!world.Options.SlowStandby || _random.Next(6) == 0)
                    _server.BecomeVisible(committed);
                break;
            case < 53: Mark(); break;
            case < 55 when world.Options.Ddl: Ddl(); break;
            default:
                if (Pick(Open.ToList()) is { } working)
                    Work(working);
                break;
        }
    }

    /// <summary>Transactions that have committed, and are not seen yet.</summary>
    public void LeaveUnseen()
    {
        for (var i = _random.Next(60); i > 0; i--)
            Step();
        foreach (var transaction in Open.ToList())
            End(transaction);
    }

    /// <summary>Everything that is open ends.</summary>
    public void Quiesce()
    {
        foreach (var transaction in Open.ToList())
            End(transaction);
        foreach (var transaction in _server.Running.ToList())
            _server.BecomeVisible(transaction);
    }

    void End(Transaction transaction)
    {
        if (transaction.Sub != 0 && _random.Next(2) == 0)
            _server.AbortSub(transaction);
        if (_random.Next(8) == 0)
            _server.Abort(transaction);
        else
            _server.Commit(transaction);
    }

    void Work(Transaction transaction)
    {
        if (transaction.Sub == 0 && _random.Next(10) == 0)
            transaction.Sub = (uint)_server.SubTransaction();
        else if (transaction.Sub != 0 && _random.Next(5) == 0)
        {
            if (_random.Next(2) == 0)
                _server.AbortSub(transaction);
            transaction.Sub = 0;
            return;
        }
        for (var i = transaction.Streamed ? 4 : 1; i > 0; i--)
            Change(transaction);
    }

    void Change(Transaction transaction)
    {
        // What the transaction sees: everything visible, and its own.
        var seen = CrmState.Of(_server.Branch.Committed.Where(one => one.Visible).Append(transaction));
        var locked = _server.Running.Where(one => one != transaction).ToList();
        var tables = seen.Tables.Values.Where(table => !locked.Any(one => one.LockedTables.Contains(table.Oid))).ToList();
        if (Pick(tables) is not { } chosen)
            return;
        var rows = seen.Rows.Where(row => row.Value.Table == chosen.Oid && !locked.Any(one => one.LockedRows.Contains(row.Key))).ToList();
        var choice = _random.Next(100);
        if (choice < 3 && locked.All(one => one.Changes.All(change => change.Table?.Oid != chosen.Oid)))
        {
            transaction.LockedTables.Add(chosen.Oid);
            Write(transaction, new Change(ChangeKind.Truncate, chosen, 0, null, null, false, _server.Advance(40), transaction.Sub));
        }
        else if (choice < 45 || rows.Count == 0)
            Insert(transaction, chosen);
        else
        {
            var row = rows[_random.Next(rows.Count)];
            transaction.LockedRows.Add(row.Key);
            if (choice < 60)
                Delete(transaction, chosen, row.Key, row.Value.Row);
            else
                Update(transaction, chosen, row.Key, row.Value.Row);
        }
    }

    void Insert(Transaction transaction, CrmTable table)
    {
        var id = ++_server.Sequence;
        var reused = _freeKeys.FindIndex(free => free.Table == table.Oid);
        if (reused >= 0 && _random.Next(3) == 0 && !IsTaken(table, _freeKeys[reused].Id))
        {
            id = _freeKeys[reused].Id;
            _freeKeys.RemoveAt(reused);
        }
        transaction.HighestId = Math.Max(transaction.HighestId, id);
        var row = ++_nextRow;
        transaction.LockedRows.Add(row);
        Write(transaction, new Change(ChangeKind.Insert, table, row, null, new CrmRow(id, _random.Next(9), Doc(), _random.Next(Pages)), false,
            _server.Advance(24 + _random.Next(60)), transaction.Sub));
    }

    /// <summary>By anybody, seen or not: a unique index would make us wait.</summary>
    bool IsTaken(CrmTable table, int id) => table.HasKey && (_server.Running.Any(one => one.Changes.Any(change => change.Table?.Oid == table.Oid
            && (change.Old?.Id == id || change.New?.Id == id)))
        || _server.Visible().Rows.Values.Any(row => row.Table == table.Oid && row.Row.Id == id));

    void Delete(Transaction transaction, CrmTable table, int row, CrmRow old)
    {
        _freeKeys.Add((table.Oid, old.Id));
        Write(transaction, new Change(ChangeKind.Delete, table, row, old, null, false, _server.Advance(24), transaction.Sub));
    }

    void Update(Transaction transaction, CrmTable table, int row, CrmRow old)
    {
        var toasted = old.Doc is { Length: > 8 };
        var keepsDoc = _random.Next(2) == 0;
        var id = _random.Next(6) == 0 ? ++_server.Sequence : old.Id;
        transaction.HighestId = Math.Max(transaction.HighestId, id);
        var fresh = new CrmRow(id, _random.Next(9), keepsDoc ? old.Doc : Doc(), _random.Next(Pages));
        Write(transaction, new Change(ChangeKind.Update, table, row, old, fresh, keepsDoc && toasted, _server.Advance(24 + _random.Next(60)), transaction.Sub));
    }

    void Write(Transaction transaction, Change change) => _server.Write(transaction, change);

    string? Doc() => _random.Next(4) switch
    {
        0 => null,
        1 => "short",
        _ => $"a large document {_random.Next(1000)}",
    };

    void Mark()
    {
        var name = $"mark {++_marks}";
        var end = _server.Emit($$"""{"is": "mark", "name": "{{name}}", "before": false}""");
        Marks[name] = (_server.Branch.Committed.Last(), new Position(_server.Branch.Timeline, end));
    }

    void Ddl()
    {
        var visible = _server.Visible();
        if (visible.Tables.Count < TablesMax && _random.Next(3) > 0)
            CreateTable(_random.Next(2) == 0);
        else if (Pick(visible.Tables.Values.Skip(1).ToList()) is { } dropped && _server.Running.All(one => one.Changes.All(change => change.Table?.Oid != dropped.Oid)))
            DropTable(dropped);
    }

    void CreateTable(bool hasKey)
    {
        var table = new CrmTable(_nextOid++, $"t{_nextOid}", hasKey);
        var transaction = _server.Begin();
        var image = table.Image(0);
        var columns = string.Join(',', image.Columns.Select(column =>
            $$"""{"attNum":{{column.AttNum}},"name":"{{column.Name}}","typeOid":{{column.TypeOid}},"typeMod":-1,"typeName":"{{column.TypeName}}","notNull":false,"generated":"n","missingValue":null}"""));
        var json = $$"""
            {"is": "ddl","command":"CREATE TABLE","schemaChanged":true,"created":[{{table.Oid}}],"dropped":[],"tables":[{"oid":{{table.Oid}},"schema":"public",
            "name":"{{table.Name}}","kind":"r","persistence":"p","identity":"{{(hasKey ? "default" : "full")}}","keyColumns":[{{(hasKey ? "1" : "")}}],"fileNode":{{table.Oid}},"pages":0,"columns":[{{columns}}]}]}
            """;
        Write(transaction, new Change(ChangeKind.Message, table, 0, null, null, false, _server.Advance(300), 0, SimulatedServer.Sealed(transaction.Xid, json)));
        for (var i = _random.Next(3); i > 0; i--)
            Insert(transaction, table);
        CommitDdl(transaction);
    }

    /// <summary>Visible at once: a dump of the schema cannot tell yet that DDL in the WAL still waits to be seen (see README).</summary>
    void CommitDdl(Transaction transaction)
    {
        _server.Commit(transaction);
        _server.BecomeVisible(transaction);
    }

    void DropTable(CrmTable table)
    {
        var transaction = _server.Begin();
        var json = $$"""{"is": "ddl","command":"DROP TABLE","schemaChanged":true,"created":[],"dropped":[{{table.Oid}}],"tables":[]}""";
        Write(transaction, new Change(ChangeKind.Message, table, 0, null, null, false, _server.Advance(100), 0,
            SimulatedServer.Sealed(transaction.Xid, json), Drops: true));
        CommitDdl(transaction);
    }

    T? Pick<T>(List<T> choices) where T : class => choices.Count == 0 ? null : choices[_random.Next(choices.Count)];
}
