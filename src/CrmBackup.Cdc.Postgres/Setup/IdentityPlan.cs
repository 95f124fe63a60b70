using System.Globalization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Gives tables without a key an identity before their updates are published: without one the CRM's UPDATE would fail.</summary>
static class IdentityPlan
{
    /// <summary>64 MiB out of line: from here on an UPDATE of a small column writing the whole row to the WAL is not a default.</summary>
    const long OutOfLineMax = 64L << 20;

    public static IEnumerable<SetupStep> Steps(
        SourceFacts facts, SetupOptions options, ProtectedScope scope, IReadOnlySet<uint> filtersNeedFull, List<string> notes)
    {
        var refused = new List<string>();
        var steps = new List<SetupStep>();
        foreach (var table in facts.Tables.Where(table => table.Logged && scope.Chooses(table)))
        {
            var filtered = filtersNeedFull.Contains(table.Oid) && table.Identity != 'f';
            if (table.HasIdentity && !filtered)
                continue;
            if (Refusal(table, options.Identity, filtered) is { } refusal)
                refused.Add(refusal);
            else
            {
                if (table.CandidateIndex is null || filtered)
                    notes.Add(Cost(table));
                steps.Add(filtered ? Full(table, $"The row filter of {table.FullName} reads columns outside its key.") : Step(table));
            }
        }
        if (refused.Count > 0)
            throw new RefusedException(string.Join("; ", refused.Take(10)) + (refused.Count > 10 ? $"; and {refused.Count - 10} more" : ""),
                "Add a primary key, leave the table out with --exclude-table, or accept the cost with --identity full.");
        return steps;
    }

    static string? Refusal(TableFacts table, IdentityChoice choice, bool filtered)
    {
        var byIndex = table.CandidateIndex is not null && !filtered;
        if (choice == IdentityChoice.Refuse)
            return $"{table.FullName} has no replica identity";
        if (byIndex)
            return null;
        if (choice == IdentityChoice.Index)
            return $"{table.FullName} has no key and no unique index over NOT NULL columns";
        return choice == IdentityChoice.Auto && table.ToastBytes > OutOfLineMax
            ? $"{table.FullName} has no key and {Bytes(table.ToastBytes)} out of line ({Cost(table)})" : null;
    }

    /// <summary>By the unique index that there is, else FULL.</summary>
    public static SetupStep Step(TableFacts table) =>
        table.CandidateIndex is { } index
            ? Step(table, $"USING INDEX {SqlText.Identifier(index)}",
                $"{table.FullName} has no primary key; its unique index {index} over NOT NULL columns names a row.")
            : Full(table, $"{table.FullName} has no key: its updates and deletes name the whole row.");

    static SetupStep Full(TableFacts table, string why) => Step(table, "FULL", why);

    static SetupStep Step(TableFacts table, string identity, string why) =>
        SetupStep.Transaction(SetupPhase.Identity, why,
        [
            $"LOCK TABLE ONLY {table.Sql} IN ACCESS EXCLUSIVE MODE NOWAIT",
            $"ALTER TABLE ONLY {table.Sql} REPLICA IDENTITY {identity}",
            $"INSERT INTO crmbackup.settings (key, value) VALUES ('identity.{table.Oid}', '{(table.Identity == 'i' ? 'n' : table.Identity)}')"
                + " ON CONFLICT (key) DO NOTHING",
        ], locks: true);

    public static string Cost(TableFacts table) => string.Create(CultureInfo.InvariantCulture,
        $"{table.FullName}: {Bytes(table.Bytes)} in rows of about {table.RowBytes} bytes, {Bytes(table.ToastBytes)} out of line, {table.ChangesPerHour:0} updates and deletes an hour; with FULL each writes the whole old row to the WAL, and a row over 1 GB can no longer be updated or deleted");

    static string Bytes(long bytes) => bytes switch
    {
        >= 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.0} GB"),
        >= 1L << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):0.0} MB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024} kB"),
    };
}
