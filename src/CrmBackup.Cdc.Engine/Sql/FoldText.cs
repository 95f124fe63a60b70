using System.Globalization;
using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The rows of one relation at a position as one query of DuckDB: base and events merged by replica identity, as a restore
/// does it. <c>p</c> is the position, as a number.</summary>
sealed class FoldText
{
    readonly RelationPlan _plan;
    readonly ViewColumns _columns;
    readonly StringBuilder _sql = new();
    readonly List<string> _parts = [];

    FoldText(RelationPlan plan)
    {
        _plan = plan;
        _columns = new ViewColumns(plan.Shape, plan.Shapes);
    }

    public static string Of(RelationPlan plan) => new FoldText(plan).Write();

    /// <summary>Each era has its own key, or none; the rows at the end of one are the base of the next.</summary>
    string Write()
    {
        var start = _plan.Chunks.Select(chunk => chunk.Chunk.Shape).DefaultIfEmpty(_plan.Shapes[0].Version).Min();
        var eras = Eras([.. _plan.Shapes.Where(shape => shape.Version >= start)]);
        for (var era = 0; era < eras.Count; era++)
        {
            var key = eras[era][^1];
            Part($"base{era}", era == 0 ? Base(key) : Carried(key, era - 1));
            Part($"ev{era}", Events(eras[era], key.HasKey));
            Part($"void{era}", $"SELECT coalesce(max(ord), -1) AS ord FROM ev{era} WHERE op IN ('T', 'W')");
            Part($"live{era}", $"SELECT e.* FROM ev{era} e, void{era} z WHERE e.ord > z.ord AND e.op IN ('I', 'U', 'D')");
            Part($"kept{era}", $"SELECT b.* FROM base{era} b, void{era} z WHERE z.ord < 0");
            if (key.HasKey)
                new KeyedFoldText(_columns, era, Part).Write();
            else
                Keyless(era);
        }
        _sql.Append("WITH RECURSIVE\n").AppendJoin(",\n", _parts);
        _sql.Append("\nSELECT ").Append(_columns.Shown).Append(CultureInfo.InvariantCulture, $" FROM out{eras.Count - 1}");
        return _sql.ToString();
    }

    void Part(string name, string query) => _parts.Add($"{name} AS (\n  {query})");

    static List<List<RelationShape>> Eras(List<RelationShape> shapes)
    {
        var eras = new List<List<RelationShape>>();
        foreach (var shape in shapes)
            if (eras.Count > 0 && SameKey(eras[^1][^1], shape))
                eras[^1].Add(shape);
            else
                eras.Add([shape]);
        return eras;
    }

    static bool SameKey(RelationShape left, RelationShape right) =>
        left.HasKey == right.HasKey && (!left.HasKey || KeyOf(left).SequenceEqual(KeyOf(right)));

    static IEnumerable<short> KeyOf(RelationShape shape) =>
        shape.Columns.Where(column => column.IsKey).Select(column => column.AttNum).Order();

    RelationShape Shape(int version) => _plan.Shapes.First(shape => shape.Version == version);

    /// <summary>The oldest snapshot's rows come first: of a row in several chunks the newest counts.</summary>
    string Base(RelationShape key)
    {
        var chunks = _plan.Chunks.Select((chunk, rank) => (Chunk: chunk, Rank: rank)).Where(item => item.Chunk.Segments.Count > 0)
            .Select(item =>
            {
                var shape = Shape(item.Chunk.Chunk.Shape);
                var k = key.HasKey ? _columns.Key(shape, SegmentKind.Base, old: false) : "NULL";
                return $"SELECT CAST({item.Rank - 1_000_000} AS HUGEINT) AS ord, {k} AS k, {_columns.NewValues(shape, SegmentKind.Base)} "
                    + $"FROM {DuckText.Files(item.Chunk.Segments)}";
            }).ToList();
        return chunks.Count > 0 ? string.Join("\n  UNION ALL ", chunks) : $"{Nothing(key)} WHERE false";
    }

    string Nothing(RelationShape key) =>
        $"SELECT 0::HUGEINT AS ord, {(key.HasKey ? "k" : "NULL AS k")}, {_columns.Names} FROM (SELECT *, "
        + $"{(key.HasKey ? _columns.Key(key) : "NULL")} AS k FROM (SELECT "
        + string.Concat(_columns.Columns.Select(column => $"{DuckText.Constant(null, column.Twin)} AS {column.Value}, "))
        + "CAST(NULL AS VARCHAR) AS x))";

    string Carried(RelationShape key, int before) =>
        $"SELECT CAST(-1 AS HUGEINT) AS ord, {(key.HasKey ? _columns.Key(key) : "NULL")} AS k, {_columns.Names} FROM out{before}";

    string Events(List<RelationShape> shapes, bool keyed)
    {
        var selects = new List<string>();
        foreach (var shape in shapes)
        {
            var files = _plan.Events.Where(segment => segment.Kind == SegmentKind.Changes && segment.Shape == shape.Version).ToList();
            if (files.Count == 0)
                continue;
            selects.Add(
                "SELECT (CAST(_commit_lsn AS HUGEINT) * 4294967296 + _seq) * 2 AS ord, _commit_lsn AS lsn, "
                + "CASE WHEN _old IS NOT NULL THEN error('an event has an old row that only a restore can read') ELSE _op END AS op, "
                + $"{Keys(shape, keyed)}, {_columns.NewValues(shape, SegmentKind.Changes)}, {_columns.UnchangedNumbers(shape)} AS u"
                + $"{(keyed ? "" : $", {_columns.OldValues(shape)}")} FROM {DuckText.Files(files)} WHERE _commit_lsn <= p{NotInBase()}");
        }
        return selects.Count > 0 ? string.Join("\n  UNION ALL ", selects) : NoEvents(shapes[^1], keyed);
    }

    string Keys(RelationShape shape, bool keyed) => keyed
        ? $"CASE WHEN _op IN ('I', 'U') THEN {_columns.Key(shape, SegmentKind.Changes, old: false)} END AS k, "
            + $"CASE WHEN _old_kind IS NOT NULL THEN {_columns.Key(shape, SegmentKind.Changes, old: true)} END AS ok"
        : "NULL AS k, NULL AS ok";

    string NoEvents(RelationShape shape, bool keyed)
    {
        var old = keyed ? "" : string.Concat(_columns.Columns.Select(column => $", {column.Value} AS {column.Old}")) + ", x AS ox";
        return $"SELECT 0::HUGEINT AS ord, 0::BIGINT AS lsn, '' AS op, k, k AS ok, {_columns.Names}, CAST(NULL AS INTEGER[]) AS u{old} "
            + $"FROM ({Nothing(shape)}) WHERE false";
    }

    /// <summary>What the oldest snapshot saw stands in the base already.</summary>
    string NotInBase()
    {
        if (_plan.OldestSnapshot is not { } oldest)
            return "";
        var running = oldest.InProgress.Count == 0 ? "" : $" OR _xid IN ({string.Join(", ", oldest.InProgress.Order())})";
        return $" AND (_xid >= {oldest.Xmax}{running})";
    }

    /// <summary>A multiset: rows come and go one at a time, identical ones are counted.</summary>
    void Keyless(int era)
    {
        var old = string.Concat(_columns.Columns.Select(column => $"{column.Old}, ")) + "ox";
        // Exact texts of values that the event did not carry are the old row's.
        var exact = _columns.Columns.Where(column => DuckText.HasExceptions(column.Twin)).Select(column =>
            $"'{column.AttNum}', CASE WHEN list_contains(u, {column.AttNum}) THEN {DuckText.Member("ox", $"{column.AttNum}")} ELSE {DuckText.Member("x", $"{column.AttNum}")} END");
        var filled = string.Concat(_columns.Columns.Select(column =>
            DuckText.IsToastable(column.Twin) ? $"CASE WHEN list_contains(u, {column.AttNum}) THEN {column.Old} ELSE {column.Value} END, " : $"{column.Value}, "))
            + $"CASE WHEN u IS NULL THEN x ELSE {DuckText.Members([.. exact])} END";
        Part($"rows{era}",
            $"SELECT 1 AS n, {_columns.Names} FROM kept{era}\n  UNION ALL SELECT 1, {filled} FROM live{era} WHERE op <> 'D'\n"
            + $"  UNION ALL SELECT -1, {old} FROM live{era} WHERE op <> 'I'");
        // -0 and 0 are equal, and not the same.
        var apart = string.Concat(_columns.Columns.Where(column => column.Twin is "float4" or "float8")
            .Select(column => $", CAST({column.Value} AS VARCHAR)"));
        Part($"sums{era}",
            $"SELECT {_columns.Names}, sum(n) AS n FROM rows{era} GROUP BY {_columns.Names}{apart} HAVING sum(n) <> 0");
        Part($"out{era}",
            $"SELECT {_columns.Names} FROM (SELECT *, unnest(range(CASE WHEN n < 0 THEN error('a row that goes is not there') ELSE CAST(n AS BIGINT) END)) FROM sums{era})");
    }
}
