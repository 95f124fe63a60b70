using System.Globalization;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

public sealed record InPlaceOptions
{
    /// <summary>The user said --yes: sessions are ended and the database is replaced.</summary>
    public required bool Confirmed { get; init; }

    /// <summary>Shuts the CRM out before the restore begins, not only for the swap.</summary>
    public bool StopFirst { get; init; }

    /// <summary>How long the swap waits for the archive to take what the old database still sent: three flushes.</summary>
    public TimeSpan DrainWithin { get; init; } = TimeSpan.FromSeconds(3);
}

/// <summary><c>restore --in-place</c>: the moment is restored beside the living database and proven; then the two change names while
/// nobody is in. The new one is prepared for backup before anybody can write to it, so that a running <c>run</c> goes on with it by itself.</summary>
public sealed class InPlaceRestore(BackupVault vault, TimeProvider clock, ILogger log)
{
    /// <param name="options">Its target is the source itself.</param>
    public async Task<RestoreReport> RunAsync(
        RestoreOptions options, InPlaceOptions place, IProgress<RestoreProgress>? progress, CancellationToken stop)
    {
        if (options.Tables.Count > 0 || options.Where.Count > 0)
            throw new UsageException("--in-place replaces the whole database", "For tables use --table with --replace.");
        var settings = ConnectionText.Parse(options.Target);
        var name = settings.Database!;
        await using var server = await TargetDatabase.OpenServerAsync(settings, stop);
        var traits = await DatabaseTraits.ReadAsync(server, name, stop);
        await using var old = await SourceMessage.OpenSourceAsync(options.Target, vault, stop);
        await DatabaseSwap.RefusePreparedAsync(server, name, stop);
        var stamp = clock.GetUtcNow().ToString("yyyyMMdd'_'HHmmss", CultureInfo.InvariantCulture);
        var (next, kept) = (Named(name, "_crmbackup_", stamp), Named(name, KeptWord, stamp));
        var disk = $"{name} takes {traits.Bytes >> 20} MiB on the server; about as much more is needed until the old one is dropped";
        var beside = options with { Target = new NpgsqlConnectionStringBuilder(settings.ConnectionString) { Database = next }.ConnectionString, Verify = true };
        if (options.DryRun)
            return Noted(await new Restorer(vault, clock, log).RunAsync(beside, progress, stop), disk);
        if (!place.Confirmed)
            throw new RefusedException($"--in-place ends all sessions of {name} and replaces it; {disk}", "Say --yes to do that, or see --dry-run first.");
        DatabaseSwap? swap = null;
        try
        {
            if (place.StopFirst)
                swap = await DatabaseSwap.BeginAsync(server, name, old.ProcessID, clock, stop);
            var report = await new Restorer(vault, clock, log).RunAsync(beside, progress, stop, traits.Locale);
            if (report.ExitCode != ExitCode.Done)
                return Noted(report, $"{name} was not replaced; the restored database is {next}");
            var notes = new List<string> { disk };
            notes.AddRange((await traits.ApplyAsync(server, next, stop)).Select(violation => $"not carried over: {violation.Statement}: {violation.Message}"));
            var oldSlot = await PrepareNextAsync(settings, next, old, stop);
            progress?.Report(new RestoreProgress(RestorePhase.Swap, null, 0, 0));
            log.SwapBegins(name, next);
            swap ??= await DatabaseSwap.BeginAsync(server, name, old.ProcessID, clock, stop);
            if (!await DrainedAsync(server, old, oldSlot, place.DrainWithin, stop))
                notes.Add($"the archive did not take the last changes of the old database in time; they stand in {kept}");
            await swap.CompleteAsync(next, kept, stop);
            log.SwapDone(name, swap.Downtime.TotalSeconds, kept);
            if (await DropSlotAsync(server, oldSlot, stop) is { } problem)
                notes.Add(problem);
            return Noted(report, [.. notes]) with
            {
                Target = ConnectionText.Describe(settings),
                DowntimeSeconds = Math.Round(swap.Downtime.TotalSeconds, 3),
                OldDatabase = kept,
            };
        }
        finally
        {
            if (swap is not null)
                await swap.DisposeAsync();
        }
    }

    /// <summary>Puts the database from before the newest restore in place back; what replaced it is kept in turn.</summary>
    public async Task<RestoreReport> UndoAsync(string source, InPlaceOptions place, CancellationToken stop)
    {
        var began = clock.GetTimestamp();
        var settings = ConnectionText.Parse(source);
        var name = settings.Database!;
        await using var server = await TargetDatabase.OpenServerAsync(settings, stop);
        var before = (await KeptAsync(server, name, stop)).LastOrDefault()
            ?? throw new RefusedException($"no database from before a restore in place of {name} is kept", "There is nothing to undo.");
        if (!place.Confirmed)
            throw new RefusedException($"--undo ends all sessions of {name} and puts {before} in its place", "Say --yes to do that.");
        await using var current = await SourceMessage.OpenSourceAsync(source, vault, stop);
        var slot = await PrepareNextAsync(settings, before, current, stop);
        var kept = Named(name, KeptWord, clock.GetUtcNow().ToString("yyyyMMdd'_'HHmmss", CultureInfo.InvariantCulture));
        await using var swap = await DatabaseSwap.BeginAsync(server, name, current.ProcessID, clock, stop);
        await DrainedAsync(server, current, slot, place.DrainWithin, stop);
        await swap.CompleteAsync(before, kept, stop);
        log.SwapDone(name, swap.Downtime.TotalSeconds, kept);
        var problem = await DropSlotAsync(server, slot, stop);
        var at = vault.State.CoveredTo?.Position ?? default;
        return new RestoreReport(vault.Medium.Location, "undo", at.Lsn, at.Timeline, $"{before} is {name} again", null, ConnectionText.Describe(settings),
            false, [], [], [], problem is null ? [] : [problem], 0, 0, clock.GetElapsedTime(began).TotalSeconds, new Dictionary<string, double>(), null,
            Math.Round(swap.Downtime.TotalSeconds, 3), kept);
    }

    /// <summary>Drops what earlier restores in place kept.</summary>
    /// <returns>The names of the databases that are gone (or, unconfirmed, none).</returns>
    public static async Task<IReadOnlyList<string>> DropOldAsync(string source, bool confirmed, CancellationToken stop)
    {
        var settings = ConnectionText.Parse(source);
        await using var server = await TargetDatabase.OpenServerAsync(settings, stop);
        var kept = await KeptAsync(server, settings.Database!, stop);
        if (kept.Count > 0 && !confirmed)
            throw new RefusedException($"--drop-old drops {string.Join(", ", kept)} for good", "Say --yes to do that.");
        foreach (var name in kept)
            await ScriptRunner.ExecuteAsync(server, $"DROP DATABASE {SqlText.Identifier(name)} WITH (FORCE)", stop);
        return kept;
    }

    const string KeptWord = "_before_";

    /// <summary>Publication, triggers and a new slot, as they were chosen for the old database. Nobody else is in the new one yet.</summary>
    /// <returns>The old database's slot.</returns>
    async Task<string> PrepareNextAsync(NpgsqlConnectionStringBuilder settings, string next, NpgsqlConnection old, CancellationToken stop)
    {
        var facts = await FactsReader.ReadAsync(old, stop);
        var scope = ProtectedScope.Of(new SetupOptions(), facts.Setup);
        var role = await ScalarAsync(old, """
            SELECT rolname::text FROM pg_roles WHERE NOT rolsuper AND rolreplication AND has_schema_privilege(oid, 'crmbackup', 'USAGE') ORDER BY 1 LIMIT 1
            """, stop);
        await using var connection = await SourceConnection.OpenAsync(
            new NpgsqlConnectionStringBuilder(settings.ConnectionString) { Database = next }, stop, "--target");
        await new SourceSetup(clock).ApplyAsync(connection, new SetupOptions
        {
            Vault = vault.Identity.Id,
            Publication = facts.Setup.Setting("publication"),
            Tables = scope.Tables,
            ExcludeTables = scope.ExcludeTables,
            Rows = scope.Rows,
            Role = role,
            RewriteLimit = long.TryParse(facts.Setup.Setting("rewriteLimit"), out var limit) ? limit : new SetupOptions().RewriteLimit,
        }, before: null, stop);
        return facts.Setup.Setting("slot")
            ?? throw new RefusedException($"crmbackup.settings in {settings.Database} names no slot", "Run 'crmbackup init' on the source first.");
    }

    /// <summary>Waits until what the old database committed is on the medium. Its last session, ours, ends here.</summary>
    async Task<bool> DrainedAsync(NpgsqlConnection server, NpgsqlConnection old, string slot, TimeSpan within, CancellationToken stop)
    {
        var active = await ScalarAsync(server, $"SELECT 'yes' FROM pg_replication_slots WHERE slot_name = {SqlText.Literal(slot)} AND active", stop);
        var barrier = await SourceMessage.BarrierAsync(old, "swap", stop);
        await old.CloseAsync();
        var since = clock.GetTimestamp();
        while (active is not null && clock.GetElapsedTime(since) < within)
        {
            if ((await vault.RefreshAsync(stop)).CoveredTo?.Position.Lsn >= barrier)
                return true;
            await Task.Delay(TimeSpan.FromMilliseconds(20), clock, stop);
        }
        return false;
    }

    /// <summary>It belongs to the database that was renamed, and would keep WAL for nobody.</summary>
    static async Task<string?> DropSlotAsync(NpgsqlConnection server, string slot, CancellationToken stop)
    {
        var violation = await ScriptRunner.TryAsync(server,
            $"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {SqlText.Literal(slot)}", stop);
        return violation is null ? null : $"the slot {slot} of the old database could not be dropped: {violation.Message}";
    }

    static async Task<List<string>> KeptAsync(NpgsqlConnection server, string name, CancellationToken stop)
    {
        var kept = new List<string>();
        await using var command = new NpgsqlCommand("SELECT datname::text FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1", server)
        {
            Parameters = { new() { Value = Named(name, KeptWord, "") } },
        };
        await using var row = await command.ExecuteReaderAsync(stop);
        while (await row.ReadAsync(stop))
            if (row.GetString(0).Length == Named(name, KeptWord, "").Length + 15)
                kept.Add(row.GetString(0));
        return kept;
    }

    /// <summary>Names longer than 63 bytes are cut off by the server: the base name gives way. The stamp takes 15.</summary>
    static string Named(string name, string word, string stamp)
    {
        while (System.Text.Encoding.UTF8.GetByteCount(name) > 63 - word.Length - 15)
            name = name[..^(char.IsLowSurrogate(name[^1]) ? 2 : 1)];
        return name + word + stamp;
    }

    static RestoreReport Noted(RestoreReport report, params string[] notes) => report with { Notes = [.. report.Notes, .. notes] };

    static async Task<string?> ScalarAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(stop) as string;
    }
}
