using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class RestoreCommand : Verb
{
    readonly Option<string> _to = new("--to")
    {
        HelpName = "moment",
        Description = "latest, lsn:0/1A2B3C4, xid:741, mark:NAME, or a time with its zone such as \"2026-11-22 10:00:00+00\"",
    };
    readonly Option<bool> _before = new("--before") { Description = "The state just before the transaction that --to names" };
    readonly Option<string> _target = new("--target")
    {
        HelpName = "connection",
        Description = "The database to restore into; it is created, or must be empty, or takes chosen tables",
    };
    readonly Option<string[]> _tables = new("--table") { HelpName = "schema.table", Description = "Only this table; * and ? match, can be repeated" };
    readonly Option<string[]> _where = new("--where")
    {
        HelpName = "column=value",
        Description = "Only such rows of the one chosen table: one customer's record; can be repeated",
    };
    readonly Option<bool> _replace = new("--replace") { Description = "Chosen tables take the place of the target's, instead of standing beside them" };
    readonly Option<bool> _inPlace = new("--in-place")
    {
        Description = "Replace the source itself: restore beside, compare, then swap by name; sessions end, the database from before is kept",
    };
    readonly Option<bool> _stopFirst = new("--stop-first") { Description = "With --in-place: shut everybody out before the restore begins, not only for the swap" };
    readonly Option<bool> _undo = new("--undo") { Description = "Put the database from before the last restore in place back" };
    readonly Option<bool> _dropOld = new("--drop-old") { Description = "Drop the databases that restores in place have kept" };
    readonly Option<bool> _verify = new("--verify") { Description = "Read everything back and compare it with the backup" };
    readonly Option<bool> _dryRun = new("--dry-run") { Description = "Say what would be done, how much and how long; touch nothing" };
    readonly Option<bool> _keepPartial = new("--keep-partial") { Description = "A restore that fails leaves its database, and says its name" };
    readonly Option<bool> _trustVault = new("--trust-vault")
    {
        Description = "The vault was not written by this machine and no key proves it: its schema is run as SQL on the target all the same",
    };
    readonly Option<int> _jobs = new("--jobs")
    {
        HelpName = "n",
        Description = "Tables at a time",
        DefaultValueFactory = _ => Math.Clamp(Environment.ProcessorCount, 1, 4),
    };

    public RestoreCommand()
        : base("restore", "Brings a moment back: the whole database, or chosen tables")
    {
        foreach (var option in new Option[]
        {
            SharedOptions.Vault, _to, _before, _target, _tables, _where, _replace, _verify, _dryRun, _keepPartial, _jobs,
            SharedOptions.PublicKey, _trustVault, SharedOptions.Source, _inPlace, _stopFirst, _undo, _dropOld, SharedOptions.Yes,
        })
            Options.Add(option);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup restore --vault /backup/crm --to latest --target \"Host=db;Database=crm_restored;Username=postgres\" --verify",
        "crmbackup restore --vault /backup/crm --to lsn:0/1A2B3C4 --before --target …        # just before that transaction",
        "crmbackup restore --vault /backup/crm --to \"2026-11-22 10:00:00+00\" --table public.contacts --where account_id=4711 --target …",
        "crmbackup restore --vault /backup/crm --source … --to mark:before-import --in-place",
        "crmbackup restore --vault /media/usb/crm --to latest --target … --public-key crm-backup.pub   # on another machine",
    ];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        if (invocation.Get(_undo) || invocation.Get(_dropOld))
            return await AfterInPlaceAsync(invocation, stop);
        var options = Asked(invocation);
        var vault = await invocation.OpenVaultAsync(stop);
        if (!options.DryRun)
            RefuseForeign(invocation, vault);
        var whole = await UnfinishedCopy.NewestWholeAsync(vault, stop);
        if (whole != vault)
            invocation.Log.Unfinished(vault.Medium.Location, whole.State.Head, vault.State.Head);
        vault = whole;
        var log = invocation.Logging.CreateLogger<Restorer>();
        var place = invocation.Get(_inPlace) ? Confirmed(invocation, options) : null;
        var report = await WorkDisplay.ShowAsync(invocation, show =>
        {
            var progress = new Reporting<RestoreProgress>(step => show(new WorkStep(PhaseName(step.Phase), step.Table, step.Done, step.Total)));
            return place is null
                ? new Restorer(vault, invocation.Clock, log).RunAsync(options, progress, stop)
                : new InPlaceRestore(vault, invocation.Clock, log).RunAsync(options, place, progress, stop);
        });
        invocation.Answer(report, output => RestoreText.Write(report, output));
        return (int)report.ExitCode;
    }

    async Task<int> AfterInPlaceAsync(Invocation invocation, CancellationToken stop)
    {
        foreach (var option in new Option[] { _to, _target, _tables, _where, _inPlace })
            if (invocation.Has(option))
                throw new UsageException($"--undo and --drop-old do not go with {option.Name}", "They need --source and --vault only.");
        var source = invocation.Settings.SourceConnection;
        var restore = new InPlaceRestore(await invocation.OpenVaultAsync(stop), invocation.Clock, invocation.Logging.CreateLogger<Restorer>());
        if (invocation.Get(_dropOld))
        {
            var gone = await InPlaceRestore.DropOldAsync(source, invocation.IsConfirmed("Drop the databases that restores in place have kept?"), stop);
            invocation.Answer(new Dropped(gone), output => output.WriteLine(
                gone.Count == 0 ? "No database from before a restore in place is kept." : $"Dropped: {string.Join(", ", gone)}."));
            return (int)ExitCode.Done;
        }
        var confirmed = invocation.IsConfirmed("End all sessions and put the database from before the last restore in place back?");
        var report = await restore.UndoAsync(source, new InPlaceOptions { Confirmed = confirmed }, stop);
        invocation.Answer(report, output => RestoreText.Write(report, output));
        return (int)report.ExitCode;
    }

    /// <summary>A restore runs the SQL that stands in the vault, with the rights of the target's user.</summary>
    void RefuseForeign(Invocation invocation, BackupVault vault)
    {
        if (vault.Trust is null && invocation.Heads.Of(vault.Identity.Id) is not { Written: true } && !invocation.Get(_trustVault))
            throw new RefusedException(
                $"the vault {vault.Identity.Id} at {vault.Medium.Location} was not written by this machine, and no key says whose it is",
                "Give --public-key when its commits are signed; or --trust-vault, when you know that nobody else could write to it.");
    }

    sealed record Dropped(IReadOnlyList<string> Databases);

    InPlaceOptions Confirmed(Invocation invocation, RestoreOptions options) => new()
    {
        Confirmed = options.DryRun || invocation.IsConfirmed(
            $"Replace {ConnectionText.Describe(ConnectionText.Parse(options.Target))} by its state at {options.To}? All its sessions end."),
        StopFirst = invocation.Get(_stopFirst),
    };

    /// <summary>In place the source is the target.</summary>
    string TargetOf(Invocation invocation)
    {
        var given = invocation.Get(_target);
        if (invocation.Get(_inPlace))
            return given is null ? invocation.Settings.SourceConnection
                : throw new UsageException("--in-place restores into the source itself", "Leave --target out, or --in-place.");
        if (invocation.Get(_stopFirst))
            throw new UsageException("--stop-first goes with --in-place", "Leave it out: a restore into another database stops nobody.");
        if (given is null)
            throw new UsageException(
                "into which database? --target is missing", "For example --target \"Host=db;Database=crm_restored;Username=postgres\": it will be created.");
        _ = ConnectionText.Parse(given, "--target");
        return given;
    }

    RestoreOptions Asked(Invocation invocation)
    {
        const string toExample = "Say for example --to latest, --to \"2026-11-22 10:00:00+00\", or --to lsn:0/1A2B3C4 --before; 'crmbackup points' lists what can be had.";
        var to = RestoreTarget.Parse(
            invocation.Get(_to) ?? throw new UsageException("to which moment? --to is missing", toExample), TimeZoneInfo.Local);
        if (invocation.Get(_jobs) is < 1 or > 64)
            throw new UsageException("--jobs is between 1 and 64", "Leave it out for one per processor, up to four.");
        invocation.WarnOfPassword(_target);
        var target = TargetOf(invocation);
        return new RestoreOptions
        {
            To = to,
            Before = invocation.Get(_before),
            Target = target,
            Tables = invocation.Get(_tables) ?? [],
            Where = [.. (invocation.Get(_where) ?? []).Select(ColumnEquality.Parse)],
            Replace = invocation.Get(_replace),
            Verify = invocation.Get(_verify),
            DryRun = invocation.Get(_dryRun),
            KeepPartial = invocation.Get(_keepPartial),
            Jobs = invocation.Get(_jobs),
        };
    }

    static string PhaseName(RestorePhase phase) => phase switch
    {
        RestorePhase.Plan => "planning",
        RestorePhase.Prepare => "preparing the target",
        RestorePhase.Schema => "schema",
        RestorePhase.Load => "loading rows",
        RestorePhase.Indexes => "indexes and constraints",
        RestorePhase.Finish => "sequences, views, statistics",
        RestorePhase.Verify => "comparing",
        RestorePhase.Swap => "swapping names",
        _ => throw new InvalidOperationException($"unknown phase {phase}"),
    };
}
