using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What one transaction did to one table. A truncate or a rewrite voids all rows, however many they were.</summary>
public sealed record TableChanges(string Table, long Inserted, long Updated, long Deleted, bool Truncated, bool Rewritten)
{
    public long Rows => Inserted + Updated + Deleted;
}

/// <summary>One transaction: what an operator needs to recognise the disaster, and to name the moment before it.</summary>
/// <param name="Lsn">End LSN of its commit: <c>--to lsn:… --before</c> restores the state before it.</param>
/// <param name="Rows">Row changes of all tables together.</param>
/// <param name="Commands">DDL command tags in order, for example DROP TABLE.</param>
/// <param name="Marks">Marks it set.</param>
public sealed record TransactionSummary(
    Lsn Lsn, SourceTime CommitTime, ulong Xid, long Rows, IReadOnlyList<TableChanges> Tables, IReadOnlyList<string> Commands,
    IReadOnlyList<string> Marks)
{
    /// <summary>May have taken away more than a row count tells.</summary>
    public bool IsSweeping => Tables.Any(table => table.Truncated || table.Rewritten)
        || Commands.Any(command => command.StartsWith("DROP ", StringComparison.Ordinal) || command == "ALTER TABLE");
}

/// <summary>Counts the events of one transaction.</summary>
sealed class TransactionTally(ChangeEvent first)
{
    readonly SortedDictionary<string, TableChanges> _tables = new(StringComparer.Ordinal);
    readonly List<string> _commands = [];
    readonly List<string> _marks = [];

    public Lsn Lsn => first.CommitLsn;

    public void Add(in ChangeEvent change, string table)
    {
        if (change.Kind == EventKind.Message)
        {
            var said = MessageWords.Of(change.NewTuple.Span);
            if (said.Command is { } command && (_commands.Count == 0 || _commands[^1] != command))
                _commands.Add(command);
            if (said.Mark is { } mark)
                _marks.Add(mark);
            return;
        }
        var known = _tables.GetValueOrDefault(table) ?? new TableChanges(table, 0, 0, 0, false, false);
        _tables[table] = change.Kind switch
        {
            EventKind.Insert => known with { Inserted = known.Inserted + 1 },
            EventKind.Update => known with { Updated = known.Updated + 1 },
            EventKind.Delete => known with { Deleted = known.Deleted + 1 },
            EventKind.Truncate => known with { Truncated = true },
            EventKind.Rewrite => known with { Rewritten = true },
            _ => throw new FormatViolationException($"an event at {change.CommitLsn} is of the unknown kind {change.Kind}"),
        };
    }

    public TransactionSummary Summary() => new(
        first.CommitLsn, first.CommitTime, first.Xid, _tables.Values.Sum(table => table.Rows),
        [.. _tables.Values.OrderByDescending(table => table.Truncated || table.Rewritten).ThenByDescending(table => table.Rows)],
        _commands, _marks);
}
