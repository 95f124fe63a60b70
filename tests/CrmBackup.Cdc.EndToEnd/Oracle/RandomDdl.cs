namespace CrmBackup.Cdc.EndToEnd.Oracle;

/// <summary>Changes of the schema, of the kinds that break tools which ride on logical decoding.</summary>
/// <param name="gaps">Also what has no exact answer between it and the next base (types changed under their values).</param>
sealed class RandomDdl(Random random, bool gaps)
{
    readonly RandomValues _values = new(random);

    public string Next(IReadOnlyList<KnownTable> tables)
    {
        var table = tables[random.Next(tables.Count)];
        if (tables.Count < 5 || (random.Next(5) == 0 && tables.Count < 14))
            return Create(tables);
        return random.Next(gaps ? 34 : 30) switch
        {
            0 or 1 => $"ALTER TABLE {table.Name} ADD {_values.Name("c")} {_values.Pick(RandomValues.Types)}",
            2 or 3 => AddWithDefault(table),
            4 => $"ALTER TABLE {table.Name} ADD {_values.Name("c")} double precision DEFAULT random()",
            5 or 6 => OnColumn(table, column => $"ALTER TABLE {table.Name} DROP {column.Name} CASCADE"),
            7 or 8 => OnColumn(table, column => $"ALTER TABLE {table.Name} RENAME {column.Name} TO {_values.Name("r")}"),
            9 => OnColumn(table, column => $"ALTER TABLE {table.Name} DROP {column.Name} CASCADE; ALTER TABLE {table.Name} ADD {column.Name} text DEFAULT 'again'"),
            10 => $"ALTER TABLE {table.Name} RENAME TO {_values.Name("t")}",
            11 => Swap(table, tables),
            12 => $"ALTER TABLE {table.Name} SET SCHEMA {(random.Next(2) == 0 ? "other" : "public")}",
            13 or 14 => OnColumn(table, column => $"ALTER TABLE {table.Name} ALTER {column.Name} TYPE text USING {column.Name}::text"),
            15 => OnColumn(table, column => column.Type == "integer" ? $"ALTER TABLE {table.Name} ALTER {column.Name} TYPE bigint"
                : $"ALTER TABLE {table.Name} ALTER {column.Name} SET STATISTICS 50"),
            16 => $"DROP TABLE {table.Name} CASCADE",
            17 => $"DROP TABLE {table.Name} CASCADE; CREATE TABLE {table.Name} (id integer PRIMARY KEY, again text); INSERT INTO {table.Name} VALUES (1, 'new')",
            18 => table.Key.Count > 0 ? $"ALTER TABLE {table.Name} DROP CONSTRAINT IF EXISTS {ConstraintOf(table)}" : AddKey(table),
            19 => AddKey(table),
            20 => $"ALTER TABLE {table.Name} REPLICA IDENTITY {(table.Key.Count > 0 && random.Next(2) == 0 ? "DEFAULT" : "FULL")}",
            21 => $"ALTER TYPE mood ADD VALUE IF NOT EXISTS 'mood {random.Next(40)}'",
            22 => OnColumn(table, column => $"CREATE INDEX ON {table.Name} ({column.Name})"),
            23 => $"CREATE VIEW {_values.Name("v")} AS SELECT count(*) FROM {table.Name}",
            24 => $"COMMENT ON TABLE {table.Name} IS 'comment {random.Next(1000)}'",
            25 => $"ALTER TABLE {table.Name} SET UNLOGGED; ALTER TABLE {table.Name} SET LOGGED",
            26 => OnColumn(table, column => $"ALTER TABLE {table.Name} ALTER {column.Name} SET DEFAULT {_values.Literal(column.Type)}"),
            27 => Partition(tables),
            28 => $"GRANT SELECT ON {table.Name} TO PUBLIC",
            29 => $"CREATE OR REPLACE FUNCTION f{random.Next(5)}() RETURNS integer LANGUAGE sql AS 'SELECT {random.Next(1000)}'",
            30 or 31 => $"ALTER TYPE mood RENAME VALUE 'mood {random.Next(40)}' TO 'renamed {random.Next(100000)}'",
            32 => $"ALTER TYPE pair ADD ATTRIBUTE a{random.Next(1000)} integer CASCADE",
            _ => OnColumn(table, column => $"ALTER TABLE {table.Name} ALTER {column.Name} TYPE {_values.Pick(RandomValues.Types)} USING NULL"),
        };
    }

    public string Create(IReadOnlyList<KnownTable> tables)
    {
        var name = (random.Next(6) == 0 ? "other." : "") + _values.Name("t");
        var columns = string.Join(", ", Enumerable.Range(1, random.Next(1, 7))
            .Select(i => $"c{i} {_values.Pick(RandomValues.Types)}{(random.Next(6) == 0 ? " NOT NULL" : "")}"));
        return random.Next(10) switch
        {
            < 4 => $"CREATE TABLE {name} (id integer PRIMARY KEY, {columns})",
            4 => $"CREATE TABLE {name} (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns}, g text GENERATED ALWAYS AS (CASE WHEN c1 IS NULL THEN 'none' ELSE md5(id::text) END) STORED)",
            5 => $"CREATE TABLE {name} (a integer, b text, {columns}, PRIMARY KEY (a, b))",
            6 or 7 => $"CREATE TABLE {name} ({columns})",
            8 when tables.Count > 0 => $"CREATE TABLE {name} AS SELECT * FROM {tables[random.Next(tables.Count)].Name} LIMIT 20",
            _ => $"CREATE TABLE {name} (id integer, at date, {columns}) PARTITION BY RANGE (id); CREATE TABLE {Part(name, "low")} PARTITION OF {name} "
                + $"FOR VALUES FROM (MINVALUE) TO (1000); CREATE TABLE {Part(name, "high")} PARTITION OF {name} FOR VALUES FROM (1000) TO (MAXVALUE)",
        };
    }

    static string Part(string name, string which) => name[..^1] + "_" + which + "\"";

    string Partition(IReadOnlyList<KnownTable> tables)
    {
        var parts = tables.Where(table => table.IsPartition).ToList();
        if (parts.Count == 0)
            return Create(tables);
        var part = parts[random.Next(parts.Count)].Name;
        return $$"""
            DO $$ DECLARE parent regclass; bound text; BEGIN
              SELECT i.inhparent::regclass, pg_get_expr(c.relpartbound, c.oid) INTO parent, bound FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE c.oid = '{{part.Replace("'", "''")}}'::regclass;
              EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', parent, '{{part.Replace("'", "''")}}'::regclass);
              IF {{(random.Next(2) == 0 ? "true" : "false")}} THEN
                EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s %s', parent, '{{part.Replace("'", "''")}}'::regclass, bound);
              END IF;
            END $$
            """;
    }

    string AddWithDefault(KnownTable table)
    {
        var type = _values.Pick(RandomValues.Types);
        return $"ALTER TABLE {table.Name} ADD {_values.Name("d")} {type} DEFAULT {(type is "mood" or "pair" ? "NULL" : _values.Literal(type))}";
    }

    string Swap(KnownTable table, IReadOnlyList<KnownTable> tables)
    {
        var other = tables[random.Next(tables.Count)];
        return table.Name.Contains('.') || other.Name.Contains('.') || other == table ? Create(tables)
            : $"ALTER TABLE {table.Name} RENAME TO swapping; ALTER TABLE {other.Name} RENAME TO {table.Name}; ALTER TABLE swapping RENAME TO {other.Name}";
    }

    static string ConstraintOf(KnownTable table)
    {
        var bare = table.Name[(table.Name.LastIndexOf('.') + 1)..];
        return bare.EndsWith('"') ? bare[..^1] + "_pkey\"" : bare + "_pkey";
    }

    static string AddKey(KnownTable table) => table.Writable.FirstOrDefault(column => column.Type is "integer" or "bigint") is { } column
        ? $"DELETE FROM {table.Name} WHERE {column.Name} IS NULL; "
            + $"DELETE FROM {table.Name} a USING {table.Name} b WHERE a.{column.Name} = b.{column.Name} AND a.ctid > b.ctid; ALTER TABLE {table.Name} ADD PRIMARY KEY ({column.Name})"
        : $"ALTER TABLE {table.Name} ADD {"id_" + table.Columns.Count} integer";

    string OnColumn(KnownTable table, Func<KnownColumn, string> statement)
    {
        var columns = table.Columns.Where(column => !table.Key.Contains(column.Name) && !column.Generated).ToList();
        return columns.Count > 0 ? statement(columns[random.Next(columns.Count)]) : $"ALTER TABLE {table.Name} ADD {_values.Name("c")} text";
    }
}
