using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Whether what <c>init</c> made still stands, asked as cheaply as can be and so that nothing missing makes the question fail.</summary>
/// <param name="Triggers">Our event triggers as the catalog holds them: another text means that somebody had them in hand.</param>
/// <param name="CatalogMoves">Grows with every row written to the catalog, as far as the server's statistics have heard.</param>
/// <param name="Problems">What is missing or was changed, one line each.</param>
/// <param name="PublicationDamage">That of them which concerns the publication.</param>
/// <param name="Usable">A stream can be opened and a base be read.</param>
/// <param name="CanMend">The connected role may do what <c>init</c> does.</param>
public sealed record SetupSigns(string Triggers, long CatalogMoves, IReadOnlyList<string> Problems, string? PublicationDamage, bool Usable, bool CanMend)
{
    static readonly string[] _catalogs =
    [
        "pg_class", "pg_attribute", "pg_type", "pg_proc", "pg_index", "pg_constraint", "pg_attrdef", "pg_trigger", "pg_rewrite", "pg_policy",
        "pg_inherits", "pg_sequence", "pg_enum", "pg_namespace", "pg_description", "pg_event_trigger", "pg_extension",
    ];

    static readonly string _sql = $"""
        SELECT coalesce((SELECT string_agg(concat_ws(' ', evtname, oid, xmin, evtenabled), ', ' ORDER BY evtname)
                FROM pg_event_trigger WHERE evtname = ANY ($1)), ''),
            array(SELECT evtname::text FROM pg_event_trigger WHERE evtname = ANY ($1)),
            array(SELECT evtname::text FROM pg_event_trigger WHERE evtname = ANY ($1) AND evtenabled <> 'A'),
            coalesce(current_setting('event_triggers', true), 'on'),
            array(SELECT pubname::text FROM pg_publication WHERE pubname = ANY ($2)),
            (SELECT coalesce(has_schema_privilege(oid, 'USAGE'), false) FROM pg_namespace WHERE nspname = 'crmbackup'),
            (SELECT sum(pg_stat_get_tuples_inserted(c) + pg_stat_get_tuples_updated(c) + pg_stat_get_tuples_deleted(c))::bigint
                FROM unnest(ARRAY[{string.Join(", ", _catalogs.Select(name => $"'pg_catalog.{name}'::regclass"))}]) c),
            (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        """;

    /// <param name="incarnation">Of the slot that is being read.</param>
    /// <exception cref="SetupRenewedException">The set-up was made anew beside the stream.</exception>
    public static async Task<SetupSigns> ReadAsync(
        NpgsqlConnection connection, IReadOnlyList<string> publications, Guid incarnation, CancellationToken stop)
    {
        var problems = new List<string>();
        var expected = SetupSql.EventTriggersOf(connection.PostgreSqlVersion.Major).Select(trigger => trigger.Name).ToArray();
        string triggers;
        long moves;
        bool? schema;
        bool canMend;
        var usable = false;
        string? damage = null;
        await using (var command = new NpgsqlCommand(_sql, connection)
        {
            Parameters = { new() { Value = expected }, new() { Value = publications.ToArray() } },
        })
        await using (var row = await command.ExecuteReaderAsync(stop))
        {
            await row.ReadAsync(stop);
            triggers = row.GetString(0);
            var there = row.GetFieldValue<string[]>(1);
            problems.AddRange(expected.Except(there).Order(StringComparer.Ordinal).Select(name => $"event trigger {name} is missing: schema changes go unnoticed at first"));
            problems.AddRange(row.GetFieldValue<string[]>(2).Order(StringComparer.Ordinal)
                .Select(name => $"event trigger {name} is not enabled always: schema changes go unnoticed at first"));
            if (row.GetString(3) != "on")
                problems.Add($"event_triggers is {row.GetString(3)}: schema changes go unnoticed at first");
            if (publications.Except(row.GetFieldValue<string[]>(4)).FirstOrDefault() is { } dropped)
                damage = $"publication {dropped} was dropped";
            schema = row.IsDBNull(5) ? null : row.GetBoolean(5);
            moves = row.IsDBNull(6) ? 0 : row.GetInt64(6);
            canMend = row.GetBoolean(7);
        }
        if (schema is null)
            problems.Add("schema crmbackup was dropped");
        else if (schema == false)
            problems.Add($"the role {connection.UserName} may not use schema crmbackup any more");
        else
        {
            var (problem, changed) = await OwnAsync(connection, incarnation, stop);
            damage ??= changed;
            usable = problem is null;
            if (problem is not null)
                problems.Add(problem);
        }
        if (damage is not null)
            problems.Add(damage);
        return new SetupSigns(triggers, moves, problems, damage, usable, canMend);
    }

    static async Task<(string? Problem, string? PublicationDamage)> OwnAsync(NpgsqlConnection connection, Guid incarnation, CancellationToken stop)
    {
        const string sql = """
            SELECT crmbackup.publication_state(),
                (SELECT value FROM crmbackup.settings WHERE key = 'publicationState'), (SELECT value FROM crmbackup.settings WHERE key = 'incarnation')
            """;
        try
        {
            await using var command = new NpgsqlCommand(sql, connection);
            await using var row = await command.ExecuteReaderAsync(stop);
            await row.ReadAsync(stop);
            string? Text(int column) => row.IsDBNull(column) ? null : row.GetString(column);
            if (Text(2) is not { } known)
                return ("crmbackup.settings was emptied", null);
            if (known != incarnation.ToString())
                throw new SetupRenewedException();
            return (null, Text(1) is { } left && Text(0) != left ? "the publication was changed by somebody else" : null);
        }
        catch (PostgresException failure) when (failure.SqlState is PostgresErrorCodes.InsufficientPrivilege
            or PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.UndefinedFunction or PostgresErrorCodes.InvalidSchemaName)
        {
            return ($"our set-up in schema crmbackup is not complete: {failure.MessageText}", null);
        }
    }
}

/// <summary>Somebody ran <c>init</c> beside the stream: it is opened again, with the key and the slot's name of now.</summary>
public sealed class SetupRenewedException() : BackupException(
    "the set-up in schema crmbackup was made anew", "Nothing is to be done: the stream is opened again.");
