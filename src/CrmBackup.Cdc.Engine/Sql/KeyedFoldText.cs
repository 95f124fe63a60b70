namespace CrmBackup.Cdc.Engine;

/// <summary>The fold of an era whose updates and deletes name their row by key.</summary>
/// <param name="part">Adds a named part of the query. It finds <c>kept</c> (the base, unless voided) and <c>live</c> (the events after
/// the last void) and leaves <c>out</c>.</param>
sealed class KeyedFoldText(ViewColumns columns, int era, Action<string, string> part)
{
    readonly string _names = columns.Names;

    public void Write()
    {
        Operations();
        Survivors();
        Filled();
        part($"out{era}",
            $"SELECT {_names} FROM kept{era} ANTI JOIN fin{era} USING (k)\n  UNION ALL SELECT {_names} FROM found{era} WHERE u IS NULL\n"
            + $"  UNION ALL SELECT {_names} FROM filled{era}");
    }

    /// <summary>What happens at a key: P put, S set in place, M put by a row that leaves another key, R remove.</summary>
    void Operations()
    {
        var nothing = string.Concat(columns.Columns.Select(_ => "NULL, ")) + "NULL";
        part($"ops{era}",
            "SELECT ord + 1 AS ord, lsn, k, CASE WHEN op = 'I' THEN 'P' WHEN ok IS NULL OR ok IS NOT DISTINCT FROM k THEN 'S' ELSE 'M' END AS kind, ok, "
            + $"{_names}, u FROM live{era} WHERE op <> 'D'\n"
            + $"  UNION ALL SELECT ord, lsn, ok, 'R', NULL, {nothing}, NULL FROM live{era} "
            + "WHERE op = 'D' OR (op = 'U' AND ok IS NOT NULL AND ok IS DISTINCT FROM k)");
        part($"marked{era}",
            $"SELECT *, coalesce(max(ord) FILTER (kind IN ('P', 'M')) OVER (PARTITION BY k ORDER BY ord), 0) AS life FROM ops{era}");
    }

    /// <summary>Per key the last operation decides, but for a put that comes before the remove of an older row with that key in one
    /// transaction. Such a net effect (X) leaves a row exactly where there was one.</summary>
    void Survivors()
    {
        part($"net{era}",
            "SELECT k, lsn, CASE WHEN arg_max(kind, ord) <> 'R' THEN 'V' "
            + "WHEN arg_min(kind, ord) IN ('P', 'M') AND count(*) FILTER (kind IN ('P', 'M')) >= count(*) FILTER (kind = 'R') THEN 'X' "
            + $"ELSE 'R' END AS net, max(ord) FILTER (kind <> 'R') AS val FROM ops{era} GROUP BY k, lsn");
        part($"fin{era}",
            "SELECT k, arg_max(net, lsn) AS net, arg_max_null(val, lsn) AS val, arg_max(net, lsn) FILTER (net <> 'X') AS before "
            + $"FROM net{era} GROUP BY k");
        part($"found{era}",
            $"SELECT o.* FROM fin{era} f JOIN marked{era} o ON o.k = f.k AND o.ord = f.val WHERE f.net = 'V' OR (f.net = 'X' AND "
            + $"(f.before = 'V' OR (f.before IS NULL AND f.k IN (SELECT k FROM kept{era}))))");
    }

    /// <summary>Columns that the last event did not carry come from the row's past, along the keys it had.</summary>
    void Filled()
    {
        part($"prior{era}",
            "SELECT k, lsn, net, lag(CASE WHEN net <> 'X' THEN net END IGNORE NULLS) OVER (PARTITION BY k ORDER BY lsn) AS before "
            + $"FROM net{era}");
        // Two rows with one key in one transaction: no key that names rows allows it, so what would be read from it is not guessed.
        part($"moves{era}",
            "SELECT m.k, m.ord AS life, m.ok AS from_k, r.life AS from_life, m.ord - 2 AS upto, n.net = 'X' AND coalesce(n.before = 'V', false) AS swapped "
            + $"FROM marked{era} m JOIN marked{era} r ON r.k = m.ok AND r.ord = m.ord - 1 JOIN prior{era} n ON n.k = m.ok AND n.lsn = m.lsn WHERE m.kind = 'M'");
        part($"line{era}",
            $"SELECT k AS fk, k, life, ord AS upto, false AS swapped FROM found{era} WHERE u IS NOT NULL\n"
            + $"  UNION ALL SELECT l.fk, m.from_k, m.from_life, m.upto, m.swapped FROM line{era} l JOIN moves{era} m ON m.k = l.k AND m.life = l.life");
        part($"past{era}",
            $"SELECT l.fk, l.swapped, o.ord, {Prefixed("o")}, o.u FROM line{era} l "
            + $"JOIN marked{era} o ON o.k = l.k AND o.life = l.life AND o.ord <= l.upto AND o.kind <> 'R'\n"
            + $"  UNION ALL SELECT l.fk, l.swapped, b.ord, {Prefixed("b")}, NULL FROM line{era} l JOIN kept{era} b ON b.k = l.k");
        var newest = columns.Columns.Select(column =>
            $"arg_max({{'v': {column.Value}, 'x': {DuckText.Member("x", $"{column.AttNum}")}}}, ord) "
            + $"FILTER (u IS NULL OR NOT coalesce(list_contains(u, {column.AttNum}), false)) AS s{column.AttNum}, ");
        part($"newest{era}", $"SELECT {string.Concat(newest)}bool_or(swapped) AS swapped FROM past{era} GROUP BY fk");
        var exact = columns.Columns.Where(column => DuckText.HasExceptions(column.Twin));
        part($"filled{era}",
            "SELECT " + string.Concat(columns.Columns.Select(column =>
                $"CASE WHEN s{column.AttNum} IS NULL THEN error('a value that an update did not carry stands nowhere') "
                + "WHEN swapped THEN error('rows swapped their keys in one transaction without carrying all values: restore the table') "
                + $"ELSE s{column.AttNum}.v END AS {column.Value}, "))
            + DuckText.Members([.. exact.Select(column => $"'{column.AttNum}', s{column.AttNum}.x")]) + $" AS x FROM newest{era}");
    }

    string Prefixed(string table) => string.Concat(columns.Columns.Select(column => $"{table}.{column.Value}, ")) + $"{table}.x";
}
