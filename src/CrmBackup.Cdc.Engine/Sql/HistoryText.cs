using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Every settled event of a table as it came, with the columns of all its shapes by their newest names.</summary>
static class HistoryText
{
    sealed record Shown(string Name, string Twin);

    /// <param name="relations">All that have borne the table's name.</param>
    /// <returns>Null when there is no event yet.</returns>
    public static string? Of(VaultState state, IEnumerable<int> relations)
    {
        var selects = new List<string>();
        foreach (var relation in relations)
        {
            var files = state.Segments.Values.Where(segment => segment.Kind == SegmentKind.Changes && segment.Relation == relation && segment.Rows > 0)
                .GroupBy(segment => segment.Shape).OrderBy(group => group.Key).ToList();
            var shown = ShownColumns([.. state.Relations.Where(shape => shape.Number == relation)]);
            foreach (var group in files)
                selects.Add(Select(state.Shape(relation, group.Key), shown, [.. group.OrderBy(segment => segment.First)]));
        }
        return selects.Count == 0 ? null : string.Join("\nUNION ALL BY NAME ", selects);
    }

    /// <summary>By attnum. A column whose type changed is shown as text.</summary>
    static Dictionary<short, Shown> ShownColumns(List<RelationShape> shapes)
    {
        var shown = new Dictionary<short, Shown>();
        var taken = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var column in shapes.OrderByDescending(shape => shape.Version).SelectMany(SegmentColumn.Of))
            if (!shown.TryGetValue(column.AttNum, out var known))
                shown.Add(column.AttNum, new Shown(Free(taken, column), column.Twin));
            else if (known.Twin != column.Twin)
                shown[column.AttNum] = known with { Twin = "text" };
        return shown;
    }

    static string Free(HashSet<string> taken, SegmentColumn column)
    {
        var name = column.Column;
        while (!taken.Add(name))
            name = $"{name}_{column.AttNum}";
        return name;
    }

    static string Select(RelationShape shape, Dictionary<short, Shown> shown, List<SegmentEntry> files)
    {
        var columns = SegmentColumn.Of(SegmentKind.Changes, shape);
        string Value(string name, SegmentColumn column) => DuckText.Converted(DuckText.Name(name), column.Twin, shown[column.AttNum].Twin);
        var values = columns.Select(column => $"{Value(column.Column, column)} AS {DuckText.Name(shown[column.AttNum].Name)}, ");
        var old = columns.Where(column => column.OldColumn is not null)
            .Select(column => $", {Value(column.OldColumn!, column)} AS {DuckText.Name("_old_" + shown[column.AttNum].Name)}");
        return $"SELECT _op, crmbackup.lsn_text(_commit_lsn) AS _lsn, _commit_lsn, _commit_time, _xid, _seq, {string.Concat(values)}"
            + $"_unchanged, _exceptions{string.Concat(old)} FROM {DuckText.Files(files)}";
    }
}
