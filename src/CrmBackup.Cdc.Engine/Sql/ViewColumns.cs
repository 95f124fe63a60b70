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
    readonly IReadOnlyList<RelationShape> _shapes;

    public ViewColumns(RelationShape target, IEnumerable<RelationShape> shapes)
    {
        (_target, _shapes) = (target, [.. shapes.OrderBy(shape => shape.Version)]);
        var shown = SegmentColumn.Of(target);
        var columns = target.Columns.Select((column, i) =>
            new ViewColumn(column.AttNum, shown[i].Column, shown[i].Twin, column.MissingValue)).ToList();
        foreach (var shape in _shapes.Reverse().Where(shape => shape.HasKey))
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

    string Value(ViewColumn column, RelationShape shape, IReadOnlyList<SegmentColumn> files, bool old)
    {
        if (FileColumn(column, shape, files) is not { } file)
            return DuckText.Constant(column.MissingValue, column.Twin);
        if (old && file.OldColumn is null)
            return DuckText.Constant(null, column.Twin);
        var name = old ? file.OldColumn! : file.Column;
        var value = Told(column, shape, DuckText.Name(name), file.Twin);
        if (!DuckText.HasExceptions(file.Twin) || DuckText.Castable(ExactTold(column, shape, DuckText.Member("_exceptions", name)), column.Twin) is not { } exact)
            return value;
        return $"COALESCE({value}, CASE WHEN _exceptions IS NOT NULL THEN {exact} END)";
    }

    string ExactText(ViewColumn column, RelationShape shape, IReadOnlyList<SegmentColumn> files, bool old)
    {
        var file = FileColumn(column, shape, files)!;
        return $"CASE WHEN _exceptions IS NOT NULL THEN {ExactTold(column, shape, DuckText.Member("_exceptions", old ? file.OldColumn! : file.Column))} END";
    }

    string Exact(RelationShape shape, IReadOnlyList<SegmentColumn> files, bool old)
    {
        var members = new List<string>();
        foreach (var column in Columns)
            if (FileColumn(column, shape, files) is { } file && DuckText.HasExceptions(file.Twin) && (!old || file.OldColumn is not null))
                members.Add($"'{column.AttNum}', {ExactTold(column, shape, DuckText.Member("_exceptions", old ? file.OldColumn! : file.Column))}");
        return $"CASE WHEN _exceptions IS NOT NULL THEN {DuckText.Members(members)} END";
    }

    /// <summary>A value as the target writes it (rule 14), as far as DuckDB can be told how; else whoever reads such a row is told that.</summary>
    string Told(ViewColumn column, RelationShape shape, string value, string twin)
    {
        var (was, now) = (Typed(column, shape), Typed(column, _target));
        var conversion = Conversion(column, shape);
        if (conversion is { IsNested: true })
            return $"CASE WHEN {value} IS NULL THEN NULL ELSE error({DuckText.Literal($"{shape.FullName}: a type was changed under older values of {was!.Name}, which only a restore tells")}) END";
        if (conversion?.RenamedLabels is { Count: > 0 } labels)
            value = $"CASE {value}{string.Concat(labels.Select(label => $" WHEN {DuckText.Literal(label.Key)} THEN {DuckText.Literal(label.Value)}"))} ELSE {value} END";
        return (was?.TypeName, now?.TypeName) switch
        {
            ("integer", "oid") => $"CAST(CASE WHEN {value} < 0 THEN {value} + 4294967296 ELSE {value} END AS VARCHAR)",
            ("oid", "integer") => $"CAST(CASE WHEN CAST({value} AS BIGINT) > 2147483647 THEN CAST({value} AS BIGINT) - 4294967296 ELSE CAST({value} AS BIGINT) END AS INTEGER)",
            ("cidr", "inet") => $"regexp_replace({value}, CASE WHEN contains({value}, ':') THEN '/128$' ELSE '/32$' END, '')",
            _ => DuckText.Converted(value, twin, column.Twin),
        };
    }

    /// <summary>The exact text of a timestamp that became one with a zone, or lost it.</summary>
    string ExactTold(ViewColumn column, RelationShape shape, string text) => (Typed(column, shape)?.TypeOid, Typed(column, _target)?.TypeOid) switch
    {
        (1114, 1184) => $"CASE WHEN {text} LIKE '%infinity' THEN {text} WHEN {text} LIKE '% BC' THEN regexp_replace({text}, ' BC$', '+00 BC') ELSE {text} || '+00' END",
        (1184, 1114) => $"replace({text}, '+00', '')",
        _ => text,
    };

    static ColumnShape? Typed(ViewColumn column, RelationShape shape) => shape.Columns.FirstOrDefault(one => one.AttNum == column.AttNum);

    ValueConversion? Conversion(ViewColumn column, RelationShape shape)
    {
        IEnumerable<ColumnShape> Of(IEnumerable<RelationShape> shapes) => shapes.Select(one => Typed(column, one)).OfType<ColumnShape>();
        var past = Of(_shapes.Where(one => one.Version <= shape.Version).Reverse()).ToList();
        return past.Count == 0 ? null : ValueConversion.Between(past, [.. Of(_shapes.Where(one => one.Version > shape.Version && one.Version <= _target.Version))]);
    }
}
