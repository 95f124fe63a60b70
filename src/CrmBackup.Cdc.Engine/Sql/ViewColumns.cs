using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>A column of the working rows of a fold: <c>v3</c> for attnum 3.</summary>
/// <param name="Name">As it is shown; null for one that the target has no more, but that was part of a key.</param>
sealed record ViewColumn(short AttNum, string? Name, string Twin, string? MissingValue)
{
    public string Value => $"v{AttNum}";

    /// <summary>The value in the old row, in tables without a key.</summary>
    public string Old => $"o{AttNum}";
}

/// <summary>The working columns of one relation, and how the files of each shape give them. Every source has the columns of
/// <see cref="Columns"/> and <c>x</c>, the exact texts that have no twin, as JSON by attnum.</summary>
sealed class ViewColumns
{
    readonly RelationShape _target;

    public ViewColumns(RelationShape target, IEnumerable<RelationShape> shapes)
    {
        _target = target;
        var shown = SegmentColumn.Of(target);
        var columns = target.Columns.Select((column, i) =>
            new ViewColumn(column.AttNum, shown[i].Column, shown[i].Twin, column.MissingValue)).ToList();
        foreach (var shape in shapes.OrderByDescending(shape => shape.Version).Where(shape => shape.HasKey))
            for (var i = 0; i < shape.Columns.Count; i++)
                if (shape.Columns[i].IsKey && columns.TrueForAll(column => column.AttNum != shape.Columns[i].AttNum))
                    columns.Add(new ViewColumn(shape.Columns[i].AttNum, null, SegmentColumn.Of(shape)[i].Twin, shape.Columns[i].MissingValue));
        Columns = columns;
    }

    public IReadOnlyList<ViewColumn> Columns { get; }

    public string Names => string.Concat(Columns.Select(column => $"{column.Value}, ")) + "x";

    /// <summary>What analysts see: the target's columns, and the exact texts beside them.</summary>
    public string Shown
    {
        get
        {
            var shown = Columns.Where(column => column.Name is not null).ToList();
            var exact = shown.Where(column => DuckText.HasExceptions(column.Twin))
                .Select(column => $"{DuckText.Literal(column.Name!)}, {DuckText.Member("x", $"{column.AttNum}")}").ToList();
            var exceptions = $"CAST(CASE WHEN x IS NOT NULL THEN {DuckText.Members(exact)} END AS JSON)";
            return string.Concat(shown.Select(column => $"{column.Value} AS {DuckText.Name(column.Name!)}, ")) + $"{exceptions} AS _exceptions";
        }
    }

    /// <summary>The new values of a file of one shape.</summary>
    public string NewValues(RelationShape shape, SegmentKind kind)
    {
        var files = SegmentColumn.Of(kind, shape);
        return string.Concat(Columns.Select(column => $"{Value(column, shape, files, old: false)} AS {column.Value}, "))
            + $"{Exact(shape, files, old: false)} AS x";
    }

    /// <summary>The old rows of a file whose shape has no key.</summary>
    public string OldValues(RelationShape shape)
    {
        var files = SegmentColumn.Of(SegmentKind.Changes, shape);
        return string.Concat(Columns.Select(column => $"{Value(column, shape, files, old: true)} AS {column.Old}, "))
            + $"{Exact(shape, files, old: true)} AS ox";
    }

    /// <summary>The key as one value that compares.</summary>
    /// <param name="kept">An unchanged key column stands only in the old row.</param>
    public string Key(RelationShape shape, SegmentKind kind, bool old)
    {
        var files = SegmentColumn.Of(kind, shape);
        var parts = new List<string>();
        foreach (var column in KeyColumns(shape))
        {
            var value = Value(column, shape, files, old);
            var exact = DuckText.HasExceptions(column.Twin) ? ExactText(column, shape, files, old) : null;
            if (kind == SegmentKind.Changes && !old && DuckText.IsToastable(column.Twin))
            {
                var unchanged = $"list_contains({Unchanged}, {DuckText.Literal(FileColumn(column, shape, files)!.Column)})";
                value = $"CASE WHEN {unchanged} THEN {Value(column, shape, files, old: true)} ELSE {value} END";
                exact = exact is null ? null : $"CASE WHEN {unchanged} THEN {ExactText(column, shape, files, old: true)} ELSE {exact} END";
            }
            parts.Add(value);
            if (exact is not null)
                parts.Add(exact);
        }
        return KeyOf(parts);
    }

    /// <summary>The key of a working row.</summary>
    public string Key(RelationShape shape) => KeyOf([.. KeyColumns(shape).SelectMany(column =>
        DuckText.HasExceptions(column.Twin) ? [column.Value, DuckText.Member("x", $"{column.AttNum}")] : new[] { column.Value })]);

    /// <summary>The attnums whose values an event did not carry.</summary>
    public string UnchangedNumbers(RelationShape shape)
    {
        var files = SegmentColumn.Of(SegmentKind.Changes, shape);
        var items = Columns.Where(column => FileColumn(column, shape, files) is { } file && DuckText.IsToastable(file.Twin))
            .Select(column => $"CASE WHEN list_contains({Unchanged}, {DuckText.Literal(FileColumn(column, shape, files)!.Column)}) THEN {column.AttNum} END");
        return $"CASE WHEN _unchanged IS NOT NULL THEN CAST([{string.Join(", ", items)}] AS INTEGER[]) END";
    }

    const string Unchanged = "from_json(_unchanged, '[\"VARCHAR\"]')";

    static string KeyOf(List<string> parts) => parts.Count == 1
        ? parts[0] : $"{{{string.Join(", ", parts.Select((part, i) => $"'k{i}': {part}"))}}}";

    IEnumerable<ViewColumn> KeyColumns(RelationShape shape) => shape.Columns.Where(column => column.IsKey)
        .OrderBy(column => column.AttNum).Select(key => Columns.First(column => column.AttNum == key.AttNum));

    static SegmentColumn? FileColumn(ViewColumn column, RelationShape shape, IReadOnlyList<SegmentColumn> files)
    {
        for (var i = 0; i < shape.Columns.Count; i++)
            if (shape.Columns[i].AttNum == column.AttNum)
                return files[i];
        return null;
    }

    static string Value(ViewColumn column, RelationShape shape, IReadOnlyList<SegmentColumn> files, bool old)
    {
        if (FileColumn(column, shape, files) is not { } file)
            return DuckText.Constant(column.MissingValue, column.Twin);
        if (old && file.OldColumn is null)
            return DuckText.Constant(null, column.Twin);
        var name = old ? file.OldColumn! : file.Column;
        var value = DuckText.Converted(DuckText.Name(name), file.Twin, column.Twin);
        if (!DuckText.HasExceptions(file.Twin) || DuckText.Castable(DuckText.Member("_exceptions", name), column.Twin) is not { } exact)
            return value;
        return $"COALESCE({value}, CASE WHEN _exceptions IS NOT NULL THEN {exact} END)";
    }

    static string ExactText(ViewColumn column, RelationShape shape, IReadOnlyList<SegmentColumn> files, bool old)
    {
        var file = FileColumn(column, shape, files)!;
        return $"CASE WHEN _exceptions IS NOT NULL THEN {DuckText.Member("_exceptions", old ? file.OldColumn! : file.Column)} END";
    }

    string Exact(RelationShape shape, IReadOnlyList<SegmentColumn> files, bool old)
    {
        var members = new List<string>();
        foreach (var column in Columns)
            if (FileColumn(column, shape, files) is { } file && DuckText.HasExceptions(file.Twin) && (!old || file.OldColumn is not null))
                members.Add($"'{column.AttNum}', {DuckText.Member("_exceptions", old ? file.OldColumn! : file.Column)}");
        return $"CASE WHEN _exceptions IS NOT NULL THEN {DuckText.Members(members)} END";
    }
}
