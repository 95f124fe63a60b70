namespace CrmBackup.Cdc.EndToEnd.Oracle;

/// <summary>Row changes of every kind. A statement may well fail: then its transaction is rolled back, as a CRM's is.</summary>
sealed class RandomDml(Random random)
{
    readonly RandomValues _values = new(random);

    public string Next(IReadOnlyList<KnownTable> tables)
    {
        var table = tables[random.Next(tables.Count)];
        return random.Next(100) switch
        {
            < 38 => Insert(table),
            < 66 => Update(table),
            < 74 => UpdateKey(table),
            < 78 => SwapKeys(table),
            < 90 => $"DELETE FROM {table.Name} WHERE ctid IN (SELECT ctid FROM ONLY {table.Name} ORDER BY md5(ctid::text || '{random.Next(99)}') LIMIT {random.Next(1, 6)})",
            < 92 => $"INSERT INTO {table.Name} SELECT * FROM {table.Name} LIMIT 5",
            < 94 => Truncate(table, tables),
            _ => Many(table),
        };
    }

    string Insert(KnownTable table)
    {
        var columns = Columns(table);
        if (columns.Count == 0)
            return $"INSERT INTO {table.Name} DEFAULT VALUES";
        var rows = Enumerable.Range(0, random.Next(1, 6)).Select(_ =>
            $"({string.Join(", ", columns.Select(column => _values.Literal(column.Type, !column.Required)))})");
        return $"INSERT INTO {table.Name} ({string.Join(", ", columns.Select(column => column.Name))}) VALUES {string.Join(", ", rows)} ON CONFLICT DO NOTHING";
    }

    string Many(KnownTable table)
    {
        var columns = Columns(table);
        if (columns.Count == 0)
            return $"INSERT INTO {table.Name} DEFAULT VALUES";
        var first = random.Next(30000, 2000000000);
        var values = columns.Select(column => column.Type is "integer" or "bigint" && table.Key.Contains(column.Name)
            ? $"{first} + i" : _values.Literal(column.Type, !column.Required));
        return $"INSERT INTO {table.Name} ({string.Join(", ", columns.Select(column => column.Name))}) "
            + $"SELECT {string.Join(", ", values)} FROM generate_series(1, {random.Next(50, 400)}) i ON CONFLICT DO NOTHING";
    }

    string Update(KnownTable table)
    {
        var columns = table.Writable.Where(column => !table.Key.Contains(column.Name)).ToList();
        if (columns.Count == 0)
            return Insert(table);
        var sets = Enumerable.Range(0, random.Next(1, 3)).Select(_ => columns[random.Next(columns.Count)]).Distinct()
            .Select(column => $"{column.Name} = {_values.Literal(column.Type, !column.Required)}");
        return $"UPDATE {table.Name} SET {string.Join(", ", sets)} WHERE ctid IN (SELECT ctid FROM ONLY {table.Name} ORDER BY md5(ctid::text || '{random.Next(99)}') LIMIT {random.Next(1, 9)})";
    }

    string UpdateKey(KnownTable table) => NumberKey(table) is { } key
        ? $"UPDATE {table.Name} SET {key} = {key} + {random.Next(1, 100000)} WHERE ctid IN (SELECT ctid FROM ONLY {table.Name} LIMIT {random.Next(1, 4)})"
        : Update(table);

    /// <summary>Within one transaction two rows change their keys; at its end nobody misses one.</summary>
    string SwapKeys(KnownTable table) => NumberKey(table) is { } key
        ? $"""
           UPDATE {table.Name} SET {key} = -{key} WHERE ctid IN (SELECT ctid FROM ONLY {table.Name} WHERE {key} > 0 ORDER BY {key} LIMIT 2);
           WITH two AS (SELECT min({key}) AS low, max({key}) AS high FROM {table.Name} WHERE {key} < 0)
           UPDATE {table.Name} SET {key} = CASE WHEN {key} = low THEN -high WHEN {key} = high THEN -low ELSE -{key} END FROM two WHERE {key} < 0
           """
        : Update(table);

    string Truncate(KnownTable table, IReadOnlyList<KnownTable> tables) => random.Next(3) switch
    {
        0 => $"TRUNCATE {table.Name} RESTART IDENTITY CASCADE",
        1 => $"TRUNCATE {table.Name}, {tables[random.Next(tables.Count)].Name} CASCADE",
        _ => $"TRUNCATE {table.Name}; {Insert(table)}",
    };

    static string? NumberKey(KnownTable table) =>
        table.Writable.FirstOrDefault(column => table.Key.Contains(column.Name) && column.Type is "integer" or "bigint")?.Name;

    List<KnownColumn> Columns(KnownTable table) =>
        [.. table.Writable.Where(column => column.Required || table.Kind == 'p' || random.Next(5) > 0)];
}
