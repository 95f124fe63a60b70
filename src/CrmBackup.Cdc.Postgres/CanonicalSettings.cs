namespace CrmBackup.Cdc.Postgres;

/// <summary>The settings under which every value of ours is read and written, also on the replication connection: they decide
/// pgoutput's and COPY's text. Given in the startup packet, so they win over what role and database have set.</summary>
public static class CanonicalSettings
{
    /// <summary>Name and value, in the order they are sent. All of them exist, and may be set by any role, from 14 to 18.</summary>
    public static readonly IReadOnlyList<KeyValuePair<string, string>> Values =
    [
        // The text of values.
        new("DateStyle", "ISO"),
        new("IntervalStyle", "postgres"),
        new("TimeZone", "UTC"),
        new("extra_float_digits", "3"),
        new("bytea_output", "hex"),
        new("client_encoding", "UTF8"),
        new("search_path", "pg_catalog"),
        new("lc_monetary", "C"),
        new("quote_all_identifiers", "off"),
        new("xmloption", "content"),
        // An error instead of rows silently filtered away.
        new("row_security", "off"),
        // Literals mean what SqlText wrote.
        new("standard_conforming_strings", "on"),
        new("array_nulls", "on"),
        new("transform_null_equals", "off"),
        // Role and database may have set these; our work is long, writes, and must not inherit them.
        new("default_transaction_read_only", "off"),
        new("default_transaction_isolation", "read\\ committed"),
        new("statement_timeout", "0"),
        new("lock_timeout", "0"),
        new("idle_in_transaction_session_timeout", "0"),
        new("idle_session_timeout", "0"),
        // A barrier waits for our own disk, never for the CRM's standby; nothing else of ours needs more.
        new("synchronous_commit", "local"),
        // Compiling catalog queries takes longer than running them.
        new("jit", "off"),
    ];

    /// <summary>For Npgsql's <c>Options</c> keyword and for PGOPTIONS.</summary>
    public static string Options { get; } = string.Join(' ', Values.Select(pair => $"-c {pair.Key}={pair.Value}"));
}
