using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary><c>--where</c>: rows of one table whose columns have given canonical texts.</summary>
static class RowFilter
{
    /// <exception cref="UsageException">More than one table, or no such column.</exception>
    public static Func<ReadOnlyMemory<byte>, bool>? Of(IReadOnlyList<ColumnEquality> where, IReadOnlyList<RelationPlan> relations)
    {
        if (where.Count == 0)
            return null;
        if (relations.Count != 1)
            throw new UsageException($"--where chooses rows of one table, {relations.Count} are restored", "Name the table with --table schema.table.");
        var shape = relations[0].Shape;
        var wanted = new (bool Asked, byte[]? Text)[shape.Columns.Count];
        foreach (var equality in where)
        {
            var index = shape.Columns.ToList().FindIndex(column => column.Name == equality.Column);
            if (index < 0)
                throw new UsageException($"{shape.FullName} has no column {equality.Column}",
                    $"Its columns are {string.Join(", ", shape.Columns.Select(column => column.Name))}.");
            wanted[index] = (true, equality.Value is { } value ? Encoding.UTF8.GetBytes(value) : null);
        }
        return tuple =>
        {
            var reader = new TupleReader(tuple.Span);
            foreach (var (asked, text) in wanted)
            {
                var state = reader.Next(out var actual);
                if (asked && (text is null ? state != ColumnState.Null : state != ColumnState.Text || !actual.SequenceEqual(text)))
                    return false;
            }
            return true;
        };
    }
}
