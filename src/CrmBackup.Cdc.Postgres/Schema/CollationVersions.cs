using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Which version of which library orders and compares the text of a database, as the server's machine has it now. Another version
/// may sort differently, and call two texts equal that were not.</summary>
/// <param name="Locale"><c>datcollate</c>.</param>
/// <param name="Collations">Version by name: the database's own under <see cref="Default"/>, and those that somebody created. Collations
/// without a version (C, POSIX) never change, and are not listed.</param>
public sealed record CollationVersions(int ServerVersion, string Locale, IReadOnlyDictionary<string, string> Collations)
{
    public const string FileName = "collations.json";
    public const string Default = "the database's own";

    public static async Task<CollationVersions> ReadAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        // 14 does not know the version of a database's own collation: that of the collation of the same name is it.
        var own = connection.PostgreSqlVersion.Major >= 15 ? "pg_database_collation_actual_version(d.oid)"
            : "(SELECT max(pg_collation_actual_version(c.oid)) FROM pg_collation c WHERE c.collname = d.datcollate AND c.collprovider = 'c')";
        var sql = $"""
            SELECT current_setting('server_version_num')::int, d.datcollate::text, '{Default.Replace("'", "''", StringComparison.Ordinal)}', {own} FROM pg_database d WHERE d.datname = current_database()
            UNION ALL
            SELECT 0, '', n.nspname || '.' || c.collname, pg_collation_actual_version(c.oid)
            FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
            WHERE c.oid >= 16384 AND n.nspname NOT IN ('pg_catalog', 'crmbackup')
            """;
        await using var command = new NpgsqlCommand(sql, connection);
        await using var row = await command.ExecuteReaderAsync(stop);
        var (version, locale) = (0, "");
        var collations = new SortedDictionary<string, string>(StringComparer.Ordinal);
        while (await row.ReadAsync(stop))
        {
            if (row.GetInt32(0) > 0)
                (version, locale) = (row.GetInt32(0), row.GetString(1));
            if (!await row.IsDBNullAsync(3, stop))
                collations[row.GetString(2)] = row.GetString(3);
        }
        return new CollationVersions(version, locale, collations);
    }

    /// <summary>In words, what a database restored from here meets there; one line each.</summary>
    public IEnumerable<string> DifferencesOf(CollationVersions target)
    {
        if (target.Locale != Locale)
            yield return $"the source sorts text by locale {Locale}, the target by {target.Locale}";
        foreach (var (name, version) in Collations.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            if (target.Collations.TryGetValue(name, out var there) && there != version)
                yield return $"collation {name}: version {version} at the source, {there} at the target: text may sort otherwise, and a unique index call other texts equal";
            else if (there is null)
                yield return $"collation {name}: version {version} at the source, none at the target: text may sort otherwise";
    }

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, CollationJson.Default.CollationVersions);

    public static CollationVersions Parse(byte[] bytes) => JsonSerializer.Deserialize(bytes, CollationJson.Default.CollationVersions)
        ?? throw new FormatViolationException($"{FileName} is null");
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(CollationVersions))]
sealed partial class CollationJson : JsonSerializerContext;
