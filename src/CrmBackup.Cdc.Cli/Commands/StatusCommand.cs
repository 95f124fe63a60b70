using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;

namespace CrmBackup.Cdc.Cli;

sealed class StatusCommand : Verb
{
    public StatusCommand()
        : base("status", "Is this database protected now? Exit code 0 when it is, 3 when not")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.Source);
        Options.Add(SharedOptions.PublicKey);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup status --vault /backup/crm",
        "crmbackup status --vault /backup/crm --source \"Host=db;Database=crm;Username=backup\" --output json",
    ];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var vault = await invocation.OpenVaultAsync(stop);
        SourceStatus? source = null;
        if (invocation.Settings.Source.Connection is { } connection)
        {
            await using var opened = await SourceMessage.OpenSourceAsync(connection, vault, stop);
            source = await SourceStatus.ReadAsync(opened, vault, stop);
        }
        var report = StatusReport.Of(vault, source, invocation.Clock, await invocation.Heads.MissingAsync(vault, stop),
            new WaitingNote(invocation.Settings.StateFolder, vault.Identity.Id).Read());
        await invocation.RememberHeadAsync(vault, written: false, stop);
        invocation.Answer(report, output => Write(report, output));
        return (int)(report.Protecting ? ExitCode.Done : ExitCode.Refused);
    }

    static void Write(StatusReport report, TextWriter output)
    {
        output.WriteLine(report.Protecting ? $"{report.Database} is protected." : $"{report.Database} is NOT protected:");
        foreach (var problem in report.Problems)
            output.WriteLine($"  {problem}");
        var lines = new Columns("  ");
        lines.Add("vault", $"{report.Vault} ({Words.Of(report.Segments, "segment")}, {Words.Bytes(report.Bytes)})");
        if (report.Durable is { } durable)
            lines.Add("durable", $"{durable.Lsn}{(durable.Time is { } time ? $", {time}" : "")}{(durable.Timeline == 1 ? "" : $", timeline {durable.Timeline}")}");
        if (report.Head is { } head)
        {
            lines.Add("commit", $"{head.Number}, {Words.Duration(head.Age)} ago, by process {head.Pid} on {head.Host}");
            lines.Add("head", $"{head.Number}:{head.Hash}");
        }
        lines.Add("tables", report.Bases.Tables == 0 ? "none known yet" : report.Bases.Pending.Count == 0 ? $"all {report.Bases.Tables} covered" : $"{report.Bases.Complete} of {report.Bases.Tables} covered");
        foreach (var table in report.Bases.Pending.Take(10))
            lines.Add("", table.RowsRead > 0 ? $"{table.Table}: {Words.Count(table.RowsRead)} rows of its base read" : $"{table.Table}: base not begun");
        foreach (var table in report.Bases.Repaired.Take(10))
            lines.Add("repaired", $"{table.Table} by difference: {Words.Count(table.Ranges)} key ranges compared, {Words.Count(table.Differing)} differed, "
                + $"{Words.Count(table.RowsCopied)} of {Words.Count(table.Rows)} rows copied");
        if (report.Schema is { } schema)
            lines.Add("schema", schema.Until is { } until ? $"changed at {until}, not read anew yet: the newest stored is of {schema.From}" : $"stored, unchanged since {schema.From}");
        lines.Add("settled", report.SettledTo is { } settled ? $"up to {settled}" : "not yet");
        if (report.Source is { } source)
            WriteSource(source, lines);
        foreach (var gap in report.Gaps.TakeLast(5))
            lines.Add(gap.Open ? "gap, open" : "gap", $"{gap.Table ?? (gap.Scope == GapScope.Schema ? "schema" : "whole database")} after {gap.After}: {gap.Reason}");
        lines.Write(output);
    }

    static void WriteSource(SourceStatus source, Columns lines)
    {
        lines.Add("source", $"at {source.Lsn}{(source.LagBytes is { } lag ? $", {Words.Bytes(lag)} of WAL further" : "")}");
        if (source.SlotExists)
            lines.Add("slot", $"{source.Slot}, {(source.Active ? "being read" : "idle")}, {source.WalStatus}, keeps {Words.Bytes(source.RetainedBytes)} of WAL"
                + (source.SafeBytes is { } safe ? $" of at most {Words.Bytes(source.RetainedBytes + Math.Max(0, safe))}" : "")
                + (source.SpillBytes > 0 ? $", {Words.Bytes(source.SpillBytes.Value)} spilled" : "")
                + $", catalog rows of {Words.Of(source.CatalogXminAge, "transaction")}");
        if (source.WaitsFor is { } waits)
            lines.Add("held by", waits);
    }
}
