namespace CrmBackup.Cdc.Postgres;

/// <summary>What the server's settings and state mean for us.</summary>
static class ServerFindings
{
    /// <summary>One connection streams; a second takes its place while the first one's end has not been noticed.</summary>
    const int WalSendersNeeded = 1;

    public static IEnumerable<Finding> Of(SourceFacts facts)
    {
        var server = facts.Server;
        if (server.InRecovery)
        {
            yield return new Finding("standby", Severity.Unsafe, "the server is a standby in recovery",
                "Publication, triggers and slot live on the primary.", [Remedy.Advice("Point --source at the primary.")]);
            yield break;
        }
        foreach (var finding in Capacity(server, facts.Setup.Slot).Concat(Synchronous(server))
            .Concat(Limits(server)).Concat(Prepared(server, facts.Setup.Slot)))
            yield return finding;
        if (server.Encoding == "SQL_ASCII")
            yield return new Finding("encoding", Severity.Unsafe, $"database {server.Database} has the encoding SQL_ASCII",
                "Its text may be any bytes; what is not UTF-8 cannot be captured exactly.",
                [Remedy.Advice("Dump the database and load it into one with ENCODING 'UTF8'.")]);
        if (server.Setting("event_triggers") == "off")
            yield return new Finding("event-triggers-off", Severity.Unsafe, "event_triggers is off",
                "Schema changes and rewritten tables would go unnoticed.",
                [Remedy.Sql("ALTER SYSTEM SET event_triggers = on"), Remedy.Reload]);
        if (KnownLoss(server.Version) is { } fixedIn)
            yield return new Finding("minor-version", Severity.Reduced,
                $"the server is {Name(server.Version)}; {fixedIn} fixed lost changes in logical decoding beside concurrent DDL",
                "Changes made while a publication or a type is altered could be missing from the stream.",
                [Remedy.Advice($"Upgrade the server to {fixedIn} or later.")]);
    }

    static IEnumerable<Finding> Capacity(ServerFacts server, SlotFacts? slot)
    {
        if (server.Setting("wal_level") != "logical")
            yield return new Finding("wal-level", Severity.Unsafe, $"wal_level is {server.Setting("wal_level")}",
                "The WAL does not hold what logical decoding needs.",
                server.PendingRestart.Contains("wal_level") ? [Remedy.Restart]
                    : [Remedy.Sql("ALTER SYSTEM SET wal_level = 'logical'"), Remedy.Restart]);
        var slots = server.Number("max_replication_slots");
        if (slot is null && server.SlotsUsed >= slots)
            yield return new Finding("no-free-slot", Severity.Unsafe, $"all {slots} replication slots are in use",
                "Capture needs one of its own.",
                [Remedy.Sql($"ALTER SYSTEM SET max_replication_slots = {slots + 4}"), Remedy.Restart]);
        var senders = server.Number("max_wal_senders");
        if (server.WalSendersUsed + WalSendersNeeded > senders)
            yield return new Finding("no-free-walsender", Severity.Unsafe, $"all {senders} WAL senders are in use",
                "Capture needs one of its own.",
                [Remedy.Sql($"ALTER SYSTEM SET max_wal_senders = {server.WalSendersUsed + 4}"), Remedy.Restart]);
    }

    static IEnumerable<Finding> Synchronous(ServerFacts server)
    {
        var names = server.Setting("synchronous_standby_names") ?? "";
        if (SynchronousStandbys.Match(names, SourceConnection.ApplicationName))
            yield return new Finding("synchronous-standby", Severity.Unsafe,
                $"synchronous_standby_names = {SqlText.Literal(names)} takes {SourceConnection.ApplicationName} for a synchronous standby",
                "Every commit of the CRM would wait for the backup, and the real standby could be left behind.",
                [
                    Remedy.Advice("Name the real standbys instead, for example ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby1)'; without any:"),
                    Remedy.Sql("ALTER SYSTEM SET synchronous_standby_names = ''"), Remedy.Reload,
                ]);
    }

    static IEnumerable<Finding> Limits(ServerFacts server)
    {
        if (server.Number("max_slot_wal_keep_size") < 0)
            yield return new Finding("wal-unbounded", Severity.Reduced, "max_slot_wal_keep_size is -1",
                "While nothing of crmbackup runs, the server keeps WAL for its slot until the disk is full; with a bound the backup has a gap instead.",
                [Remedy.Sql("ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'"), Remedy.Reload]);
        if (server.Setting("idle_replication_slot_timeout") is { } idle && idle != "0")
            yield return new Finding("idle-slot-timeout", Severity.Reduced, $"idle_replication_slot_timeout is {idle} s",
                "A capture stopped for longer loses its slot: a gap, and all tables are read again.",
                [Remedy.Sql("ALTER SYSTEM SET idle_replication_slot_timeout = 0"), Remedy.Reload]);
        if (server.Number("wal_sender_timeout") == 0)
            yield return new Finding("wal-sender-timeout", Severity.Reduced, "wal_sender_timeout is 0",
                "A connection that died without a word keeps the slot occupied for ever.",
                [Remedy.Sql("ALTER SYSTEM SET wal_sender_timeout = '60s'"), Remedy.Reload]);
        if (server.Number("logical_decoding_work_mem") < 16 * 1024)
            yield return new Finding("decoding-memory", Severity.Info,
                $"logical_decoding_work_mem is {server.Number("logical_decoding_work_mem")} kB",
                "Transactions larger than this are streamed or spilled; capture sets 64 MB for its own session.", []);
    }

    static IEnumerable<Finding> Prepared(ServerFacts server, SlotFacts? slot)
    {
        foreach (var prepared in server.Prepared.Where(prepared => prepared.Age > TimeSpan.FromHours(1) || slot is null))
            yield return new Finding("prepared-transaction", slot is null ? Severity.Unsafe : Severity.Reduced,
                $"transaction {prepared.Gid} of {prepared.Owner} is prepared since {prepared.Age:d\\.hh\\:mm\\:ss}",
                "A new slot waits for it, and the WAL since then is kept.",
                [
                    Remedy.Advice("Ask its owner; then COMMIT PREPARED, or:"),
                    Remedy.Sql($"ROLLBACK PREPARED {SqlText.Literal(prepared.Gid)}"),
                ]);
    }

    /// <summary>The minor version that first held both fixes of 2025 (bugs 18938 and 18942), when the server is older.</summary>
    static string? KnownLoss(int version) => (version / 10_000, version % 10_000) switch
    {
        (14, < 19) => "14.19",
        (15, < 14) => "15.14",
        (16, < 10) => "16.10",
        (17, < 6) => "17.6",
        _ => null,
    };

    static string Name(int version) => $"PostgreSQL {version / 10_000}.{version % 10_000}";
}
