using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class VerifyCommand : Verb
{
    /// <summary>Said alone it means the configured source: comparing reads every row of it, so it must be asked for.</summary>
    readonly Option<string> _source = new("--source")
    {
        HelpName = "connection",
        Arity = ArgumentArity.ZeroOrOne,
        Description = "Compare the backup's content with the live source instead, table by table, without restoring",
    };
    readonly Option<string> _head = new("--head")
    {
        HelpName = "number:hash",
        Description = "This commit must be there, as 'status' or 'wait' printed it [default: the newest that this machine has seen]",
    };
    readonly Option<bool> _acceptHead = new("--accept-head") { Description = "The history was cut off or replaced on purpose: remember its end as it is now" };
    readonly Option<bool> _repair = new("--repair") { Description = "Mend what is damaged or missing, from parity, from copies inside the vault, and from --from; verify again" };
    readonly Option<string[]> _from = new("--from") { HelpName = "folder", Description = "Another copy of this vault, to mend from; can be repeated" };
    readonly Option<string[]> _tables = new("--table") { HelpName = "schema.table", Description = "With --source: only this table; * and ? match, can be repeated" };

    public VerifyCommand()
        : base("verify", "Reads every byte of the vault and proves it; or compares it with the live source. Exit code 4 on any difference")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(_source);
        Options.Add(_tables);
        Options.Add(WaitCommand.Timeout);
        Options.Add(_head);
        Options.Add(_acceptHead);
        Options.Add(_repair);
        Options.Add(_from);
        Options.Add(SharedOptions.PublicKey);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup verify --vault /backup/crm",
        "crmbackup verify --vault /backup/crm --public-key sign.key.pub --head 4711:9f86…",
        "crmbackup verify --vault /backup/crm --repair --from /media/second/crm",
        "crmbackup verify --vault /backup/crm --source \"Host=db;Database=crm;Username=crmbackup\"",
    ];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        if (invocation.Has(_source) && invocation.Get(_repair))
            throw new UsageException("--repair does not go with --source", "The source holds its rows as they are now, and no segment as it was.");
        if (invocation.Has(_source))
            return await CompareAsync(invocation, stop);
        if (invocation.Has(_tables))
            throw new UsageException("--table goes with --source", "Without --source every byte of the vault is read.");
        var medium = new DirectoryMedium(invocation.Settings.VaultPath, invocation.Settings.Vault.CreateOnly);
        var copies = (invocation.Get(_from) ?? []).Select(folder => new DirectoryMedium(folder)).ToList();
        var trust = invocation.Settings.Keys.Trusted();
        var vault = await TryOpenAsync(medium, trust, stop);
        if (vault is not null && invocation.Get(_acceptHead))
            await invocation.RememberHeadAsync(vault, written: false, stop, accept: true);
        var head = invocation.Get(_head) is { } given ? FileReference.Parse(given)
            : vault is null ? null : invocation.Heads.Of(vault.Identity.Id)?.Reference;
        var (report, mended) = await WorkDisplay.ShowAsync(invocation, async show =>
        {
            var progress = new Reporting<VerificationProgress>(step => show(new WorkStep("reading segments", null, step.BytesDone, step.BytesTotal)));
            if (invocation.Get(_repair))
            {
                var repair = await new VaultRepair(medium, copies, trust, head, invocation.Clock, progress).RunAsync(stop);
                return (repair.After, repair.Mended);
            }
            var found = await VaultVerification.RunAsync(medium, progress, trust: trust, head: head, stop: stop);
            return (await VaultRepair.ExplainAsync(medium, copies, found, stop), (IReadOnlyList<MendedFile>?)null);
        });
        if (vault is not null && report.ExitCode == ExitCode.Done)
            await invocation.RememberHeadAsync(vault, written: false, stop);
        invocation.Answer(Verified.Of(report, mended), output => Write(report, mended, medium.Location, output));
        return (int)report.ExitCode;
    }

    /// <param name="Remaining">With damage: where exact restores are still possible.</param>
    sealed record Verified(
        Guid? Vault, long Head, Sha256? HeadHash, int Writers, int SegmentsLive, int SegmentsVerified, long BytesVerified, int Schemas, int Checkpoints,
        int ParityFiles, int? WithoutParity, IReadOnlyList<MendedFile>? Mended, IReadOnlyList<VaultDamage> Damage, IReadOnlyList<MediumFile> Orphans, IReadOnlyList<MediumFile> Retired, IReadOnlyList<string> Notes,
        IReadOnlyList<CoveredRange>? Affected, IReadOnlyList<string>? LostMarks, IReadOnlyList<CoveredRange>? Remaining, ExitCode ExitCode)
    {
        public static Verified Of(VaultVerificationReport report, IReadOnlyList<MendedFile>? mended) => new(
            report.Vault, report.Head, report.HeadHash, report.Writers, report.SegmentsLive, report.SegmentsVerified, report.BytesVerified, report.Schemas,
            report.Checkpoints, report.ParityFiles, report.WithoutParity, mended, report.Damage, report.Orphans, report.Retired, report.Notes,
            report.Damage.Count == 0 ? null : [.. report.Affected.Select(CoveredRange.Of)],
            report.Damage.Count == 0 ? null : [.. report.LostMarks.Select(mark => mark.Name)],
            report.Damage.Count == 0 ? null : [.. (report.Remaining?.Database ?? []).Select(CoveredRange.Of)], report.ExitCode);
    }

    /// <returns>Null when it cannot be opened: why, is what the verification tells.</returns>
    static async Task<BackupVault?> TryOpenAsync(DirectoryMedium medium, TrustedKeys? trust, CancellationToken stop)
    {
        try
        {
            return await BackupVault.OpenAsync(medium, stop, trust: trust);
        }
        catch (BackupException)
        {
            return null;
        }
    }

    async Task<int> CompareAsync(Invocation invocation, CancellationToken stop)
    {
        invocation.WarnOfPassword(_source);
        var options = new CompareOptions
        {
            Source = invocation.Get(_source) ?? invocation.Settings.SourceConnection,
            Tables = invocation.Get(_tables) ?? [],
            DurableWithin = invocation.Get(WaitCommand.Timeout) ?? WaitCommand.Patience,
        };
        var comparison = new SourceComparison(
            await invocation.OpenVaultAsync(stop), invocation.Clock, invocation.Logging.CreateLogger<SourceComparison>());
        var report = await WorkDisplay.ShowAsync(invocation, show => comparison.RunAsync(options, new Reporting<CompareProgress>(
            step => show(new WorkStep(step.Folding ? "folding the vault" : "reading the source", step.Table, step.Done, step.Total))), stop));
        invocation.Answer(report, output => Write(report, output));
        return (int)report.ExitCode;
    }

    static void Write(CompareReport report, TextWriter output)
    {
        output.WriteLine(report.ExitCode switch
        {
            ExitCode.Done => $"{report.Vault} holds what {report.Source} holds, up to {report.Lsn}.",
            ExitCode.Difference => $"{report.Vault} DIFFERS from {report.Source}:",
            _ => $"Not every table of {report.Source} could be compared:",
        });
        var lines = new Columns("  ");
        foreach (var table in report.Tables)
            lines.Add(table.Table, Words.Count(table.SourceRows), "rows, " + (table.Equal switch
            {
                true => "equal",
                false => $"DIFFERENT: the vault has {Words.Count(table.VaultRows)}",
                null => "not compared",
            }) + (table.Note is { } note ? $" ({note})" : ""));
        lines.Write(output);
        foreach (var table in report.Tables)
            foreach (var difference in table.Differences)
                output.WriteLine($"  {table.Table} {difference.Key}: {difference.What}");
        output.WriteLine(FormattableString.Invariant($"{Words.Count(report.Rows)} rows in {report.Seconds:0.0} s."));
    }

    static void Write(VaultVerificationReport report, IReadOnlyList<MendedFile>? mended, string vault, TextWriter output)
    {
        foreach (var file in mended ?? [])
            output.WriteLine($"Mended: {file.Path}, from {file.From}.");
        output.WriteLine(report.Damage.Count == 0
            ? $"{vault} is as it was written."
            : $"{vault} is DAMAGED:");
        foreach (var damage in report.Damage)
        {
            output.WriteLine($"  {damage.Path} {damage.What}{(damage.Relations.Count > 0 ? $" ({string.Join(", ", damage.Relations)})" : "")}");
            output.WriteLine(damage.MendableFrom is { } from ? $"    can be mended ('verify --repair'), from {from}" : $"    cannot be mended: {damage.NotMendable}");
        }
        output.WriteLine($"{Words.Of(report.Head, "commit")}, {Words.Of(report.SegmentsVerified, "segment")} ({Words.Bytes(report.BytesVerified)}), "
            + $"{Words.Of(report.Schemas, "schema")}, {Words.Of(report.Checkpoints, "checkpoint")} read.");
        if (report.HeadHash is { } hash)
            output.WriteLine($"head {report.Head}:{hash}");
        if (report.WithoutParity is { } bare)
            output.WriteLine($"{Words.Of(report.ParityFiles, "parity file")}; {(bare == 0 ? "every segment can be mended" : $"{Words.Of(bare, "segment")} without parity yet: log segments get it when they are settled")}.");
        if (report.Orphans.Count + report.Retired.Count > 0)
            output.WriteLine($"{Words.Of(report.Orphans.Count, "file")} that no commit names, {Words.Count(report.Retired.Count)} retired: prune removes them.");
        foreach (var note in report.Notes)
            output.WriteLine($"Note: {note}");
        if (report.Affected.Count > 0)
            output.WriteLine($"No longer exact: {string.Join("; ", report.Affected)}"
                + (report.LostMarks.Count > 0 ? $", and in it {string.Join(", ", report.LostMarks.Select(mark => $"mark:{mark.Name}"))}" : ""));
        if (report.Damage.Count > 0)
            output.WriteLine(report.Remaining is { Database.Count: > 0 } remaining
                ? $"What remains exact: {string.Join("; ", remaining.Database)}"
                : "Nothing of the whole database can be restored exactly.");
        if (mended is not null && report.Damage.Any(damage => damage.Relations.Count > 0 || damage.Path.StartsWith("log/", StringComparison.Ordinal)))
            output.WriteLine("What could not be mended cannot be read again from the source, which holds its rows as they are now: another copy of the vault may have it (--from).");
    }
}
