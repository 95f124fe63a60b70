using System.Text.RegularExpressions;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>A statement that lets a row in, and one that puts back what it took away, as far as the rows allow.</summary>
/// <param name="Whole">What is put back is what was there: a name that is known by then, not a constraint that no longer holds.</param>
public sealed record RowRemedy(string Statement, string? Again = null, bool Whole = false);

/// <summary>What kept a row out of a table, and the statement that lets it in. The row is exact, so the schema gives way: a partition is
/// parted, a constraint dropped until the rows are there, a label added, a type that does not take its own texts replaced by text.</summary>
public static partial class RowObstacle
{
    /// <summary>Where the role may choose: has the server speak English to this connection, as a label that an enum lacks is only in the
    /// message; and holds back the triggers and foreign keys that an extension's tables have from the beginning.</summary>
    public static Task ReadyAsync(NpgsqlConnection connection, CancellationToken stop) => ScriptRunner.ExecuteAsync(connection, """
        DO $$ BEGIN SET lc_messages = 'C'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;
        DO $$ BEGIN SET session_replication_role = 'replica'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$
        """, stop);

    /// <returns>Null when the failure is none of these.</returns>
    public static async Task<RowRemedy?> RemedyAsync(
        NpgsqlConnection connection, string schema, string table, PostgresException failure, CancellationToken stop)
    {
        var name = SqlText.Qualified(schema, table);
        switch (failure.SqlState)
        {
            case PostgresErrorCodes.CheckViolation when failure.DataTypeName is { Length: > 0 } domain && failure.ConstraintName is { Length: > 0 } check:
                // The schema of the row's error is the domain's.
                var domainName = SqlText.Qualified(failure.SchemaName ?? schema, domain);
                return new RowRemedy($"ALTER DOMAIN {domainName} DROP CONSTRAINT IF EXISTS {SqlText.Identifier(check)}",
                    await AgainAsync(connection, $"ALTER DOMAIN {domainName}", "contypid = to_regtype($1)::oid", domainName, check, stop));
            case PostgresErrorCodes.CheckViolation when failure.ConstraintName is { Length: > 0 } check:
                var owner = await OwnerAsync(connection, name, check, stop);
                return new RowRemedy($"ALTER TABLE {owner} DROP CONSTRAINT {SqlText.Identifier(check)} CASCADE",
                    await AgainAsync(connection, $"ALTER TABLE {owner}", "conrelid = to_regclass($1)::oid", owner, check, stop));
            case PostgresErrorCodes.CheckViolation:
                return await PartingAsync(connection, schema, table, stop);
            case PostgresErrorCodes.NotNullViolation when failure.DataTypeName is { Length: > 0 } domain && failure.ColumnName is not { Length: > 0 }:
                return new RowRemedy($"ALTER DOMAIN {SqlText.Qualified(failure.SchemaName ?? schema, domain)} DROP NOT NULL");
            case PostgresErrorCodes.NotNullViolation when failure.ColumnName is { Length: > 0 } column:
                return new RowRemedy($"ALTER TABLE {name} ALTER COLUMN {SqlText.Identifier(column)} DROP NOT NULL");
            case PostgresErrorCodes.InvalidTextRepresentation when UnknownLabel().Match(failure.MessageText) is { Success: true } found:
                // Another table may have met it, too.
                return new RowRemedy($"ALTER TYPE {found.Groups["type"].Value} ADD VALUE IF NOT EXISTS {SqlText.Literal(found.Groups["label"].Value)}");
            // A type of another moment, or a name (regclass and its like) of what is not there yet, or not any more: the text is exact.
            case ['2', '2', ..] or ['4', '2', ..] or PostgresErrorCodes.InvalidSchemaName or PostgresErrorCodes.FeatureNotSupported when FailedColumn().Match(failure.Where ?? "") is { Success: true } found:
                var failed = found.Groups["column"].Value;
                return new RowRemedy($"ALTER TABLE {name} ALTER COLUMN {SqlText.Identifier(failed)} DROP DEFAULT, ALTER COLUMN {SqlText.Identifier(failed)} TYPE text",
                    await TypedAgainAsync(connection, name, failed, stop), Whole: true);
            default:
                return null;
        }
    }

    /// <summary>What parts a table from those above it, when it may not change alone.</summary>
    public static async Task<RowRemedy?> PartingAsync(NpgsqlConnection connection, string schema, string table, CancellationToken stop) =>
        await SchemaFit.PartingAsync(connection, schema, table, stop) is { Count: > 0 } partings ? new RowRemedy(string.Join("; ", partings)) : null;

    /// <summary>The table highest above that has the check: only there it can be dropped.</summary>
    static async Task<string> OwnerAsync(NpgsqlConnection connection, string name, string check, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("""
            WITH RECURSIVE up AS (
              SELECT to_regclass($1)::oid AS oid, 0 AS level
              UNION ALL SELECT c.conrelid, level + 1 FROM up JOIN pg_inherits i ON i.inhrelid = up.oid
                JOIN pg_constraint c ON c.conrelid = i.inhparent AND c.conname = $2 AND c.contype = 'c' AND NOT c.connoinherit)
            SELECT format('%I.%I', n.nspname, c.relname) FROM up JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY level DESC LIMIT 1
            """, connection)
        {
            Parameters = { new() { Value = name }, new() { Value = check } },
        };
        return await command.ExecuteScalarAsync(stop) as string ?? name;
    }

    /// <summary>The constraint as it was, for rows to come.</summary>
    static async Task<string?> AgainAsync(
        NpgsqlConnection connection, string alter, string owner, string name, string constraint, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(
            $"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conname = $2 AND {owner}", connection)
        {
            Parameters = { new() { Value = name }, new() { Value = constraint } },
        };
        return await command.ExecuteScalarAsync(stop) is string definition
            ? $"{alter} ADD CONSTRAINT {SqlText.Identifier(constraint)} {definition}{(definition.EndsWith(" NOT VALID", StringComparison.Ordinal) ? "" : " NOT VALID")}" : null;
    }

    static async Task<string?> TypedAgainAsync(NpgsqlConnection connection, string name, string column, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("""
            SELECT format('ALTER COLUMN %1$I TYPE %2$s USING %1$I::%2$s', a.attname, format_type(a.atttypid, a.atttypmod))
                || coalesce(', ALTER COLUMN ' || quote_ident(a.attname) || ' SET DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = to_regclass($1)::oid AND a.attname = $2 AND NOT a.attisdropped
            """, connection)
        {
            Parameters = { new() { Value = name }, new() { Value = column } },
        };
        return await command.ExecuteScalarAsync(stop) is string change ? $"ALTER TABLE {name} {change}" : null;
    }

    // The type's name is quoted as SQL needs it.
    [GeneratedRegex(@"^invalid input value for enum (?<type>.+?): ""(?<label>.*)""$", RegexOptions.Singleline | RegexOptions.CultureInvariant)]
    private static partial Regex UnknownLabel();

    [GeneratedRegex(@"^COPY .+, line [0-9]+, column (?<column>.+?)(: ""|$)", RegexOptions.Multiline | RegexOptions.CultureInvariant)]
    private static partial Regex FailedColumn();
}
