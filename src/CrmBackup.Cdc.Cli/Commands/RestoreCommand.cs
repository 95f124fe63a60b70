using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
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
        HelpName = "connection", Description = "The database to restore into; it is created, or must be empty, or takes chosen tables",
    };
    readonly Option<string[]> _tables = new("--table") { HelpName = "schema.table", Description = "Only this table; * and ? match, can be repeated" };
    readonly Option<string[]> _where = new("--where")
    {
        HelpName = "column=value", Description = "Only such rows of the one chosen table: one customer's record; can be repeated",
    };
    readonly Option<bool> _replace = new("--replace") { Description = "Chosen tables take the place of the target's, instead of standing beside them" };
    readonly Option<bool> _verify = new("--verify") { Description = "Read everything back and compare it with the backup" };
    readonly Option<bool> _dryRun = new("--dry-run") { Description = "Say what would be done, how much and how long; touch nothing" };
    readonly Option<bool> _keepPartial = new("--keep-partial") { Description = "A restore that fails leaves its database, and says its name" };
    readonly Option<bool> _inPlace = new("--in-place")
    {
        Description = "Restore beside --source, prove it, then let the two databases change names; the old one is kept. Needs --yes",
    };
    readonly Option<bool> _stopFirst = new("--stop-first") { Description = "With --in-place: shut the CRM out before the restore, not only for the swap" };
    readonly Option<bool> _undo = new("--undo") { Description = "Put the database from before the newest restore in place back. Needs --yes" };
    readonly Option<bool> _dropOld = new("--drop-old") { Description = "Drop the databases that restores in place have kept. Needs --yes" };
    readonly Option<int> _jobs = new("--jobs")
    {
        HelpName = "n", Description = "Tables at a time", DefaultValueFactory = _ => Math.Clamp(Environment.ProcessorCount, 1, 4),
    };

    public RestoreCommand()
        : base("restore", "Brings a moment back: the whole database, or chosen tables")
    {
        foreach (var option in new Option[]
        {
            SharedOptions.Vault, SharedOptions.Source, SharedOptions.Yes, _to, _before, _target, _tables, _where, _replace, _verify, _dryRun,
            _keepPartial, _jobs, _inPlace, _stopFirst, _undo, _dropOld,
        })
            Options.Add(option);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup restore --vault /backup/crm --to latest --target \"Host=db;Database=crm_restored;Username=postgres\" --verify",
        "crmbackup restore --vault /backup/crm --to lsn:0/1A2B3C4 --before --target …        # just before that transaction",
        "crmbackup restore --vault /backup/crm --to \"2026-11-22 10:00:00+00\" --table public.contacts --where account_id=4711 --target …",
        "crmbackup restore --vault /backup/crm --source … --to mark:before_import --in-place --yes",
    ];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        if (invocation.Get(_inPlace) || invocation.Get(_undo) || invocation.Get(_dropOld))
            return await InPlaceAsync(invocation, stop);
        var options = Asked(invocation, target: null);
        var restorer = new Restorer(
            await invocation.OpenVaultAsync(stop), invocation.Clock, invocation.Logging.CreateLogger<Restorer>());
        var report = await WorkDisplay.ShowAsync(invocation, report => restorer.RunAsync(
            options, new Reporting<RestoreProgress>(step => report(new WorkStep(PhaseName(step.Phase), step.Table, step.Done, step.Total))), stop));
        invocation.Answer(report, output => RestoreText.Write(report, output));
        return (int)report.ExitCode;
    }

    async Task<int> InPlaceAsync(Invocation invocation, CancellationToken stop)
    {
        if (invocation.Has(_target))
            throw new UsageException("--in-place restores into the source: --target is not for it", "Give --source, without --target.");
        var source = invocation.Settings.SourceConnection;
        var restore = new InPlaceRestore(
            await invocation.OpenVaultAsync(stop), invocation.Clock, invocation.Logging.CreateLogger<InPlaceRestore>());
        var place = new InPlaceOptions { Confirmed = invocation.Get(SharedOptions.Yes), StopFirst = invocation.Get(_stopFirst) };
        if (invocation.Get(_dropOld))
        {
            var dropped = await restore.DropOldAsync(source, place.Confirmed, stop);
            invocation.Answer(new { dropped }, output => output.WriteLine(dropped.Count == 0 ? "Nothing is kept." : $"Dropped: {string.Join(", ", dropped)}"));
            return (int)ExitCode.Done;
        }
        var report = invocation.Get(_undo)
            ? await restore.UndoAsync(source, place, stop)
            : await WorkDisplay.ShowAsync(invocation, report => restore.RunAsync(
                Asked(invocation, source), place,
                new Reporting<RestoreProgress>(step => report(new WorkStep(PhaseName(step.Phase), step.Table, step.Done, step.Total))), stop));
        invocation.Answer(report, output => RestoreText.Write(report, output));
        return (int)report.ExitCode;
    }

    /// <param name="target">The source, for a restore in place; null: --target says it.</param>
    RestoreOptions Asked(Invocation invocation, string? target)
    {
        const string toExample = "Say for example --to latest, --to \"2026-11-22 10:00:00+00\", or --to lsn:0/1A2B3C4 --before; 'crmbackup points' lists what can be had.";
        var to = RestoreTarget.Parse(
            invocation.Get(_to) ?? throw new UsageException("to which moment? --to is missing", toExample), TimeZoneInfo.Local);
        if (invocation.Get(_jobs) is < 1 or > 64)
            throw new UsageException("--jobs is between 1 and 64", "Leave it out for one per processor, up to four.");
        invocation.WarnOfPassword(_target);
        target ??= invocation.Get(_target) ?? throw new UsageException(
            "into which database? --target is missing", "For example --target \"Host=db;Database=crm_restored;Username=postgres\": it will be created.");
        _ = ConnectionText.Parse(target, "--target");
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
        RestorePhase.Swap => "swapping the databases",
        _ => phase.ToString().ToLowerInvariant(),
    };
}
