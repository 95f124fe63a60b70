using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Npgsql;

namespace CrmBackup.Cdc.Cli;

sealed class InitCommand : Verb
{
    readonly Option<bool> _dryRun = new("--dry-run") { Description = "Print every SQL statement and do nothing" };
    readonly Option<bool> _remove = new("--remove") { Description = "Take everything away from the source again; the vault stays" };
    readonly Option<string[]> _tables = new("--table")
    {
        HelpName = "pattern",
        Description = "Protect only these tables: schema.table with * and ? [default: all]",
    };
    readonly Option<string[]> _excluded = new("--exclude-table") { HelpName = "pattern", Description = "Do not protect these tables" };
    readonly Option<string[]> _rows = new("--rows")
    {
        HelpName = "table:predicate",
        Description = "Protect only the rows of a table for which the SQL predicate holds (PostgreSQL 15 and later)",
    };
    readonly Option<IdentityChoice> _identity = new("--identity")
    {
        Description = "What tables without a key get, so that their updates can be published",
        HelpName = "auto|full|index|refuse",
        DefaultValueFactory = _ => IdentityChoice.Auto,
    };
    readonly Option<string> _role = new("--role") { HelpName = "name", Description = "Also make a login role with just the rights that run needs" };

    public InitCommand()
        : base("init", "Prepares the source (publication, slot, event triggers, replica identities) and makes the vault; can be repeated")
    {
        foreach (var option in new Option[]
        {
            SharedOptions.Source, SharedOptions.Vault, _tables, _excluded, _rows, _identity, _role, _dryRun, _remove, SharedOptions.Yes,
        })
            Options.Add(option);
        _identity.AcceptOnlyFromAmong(StringComparer.OrdinalIgnoreCase, [.. Enum.GetNames<IdentityChoice>().Select(name => name.ToLowerInvariant())]);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup init --source \"Host=db;Database=crm;Username=postgres\" --vault /backup/crm",
        "crmbackup init --source … --vault … --dry-run > for-the-dba.sql",
        "crmbackup init --source … --vault … --exclude-table 'public.log_*' --rows \"public.events:kind <> 'debug'\"",
        "crmbackup init --source … --remove",
    ];

    /// <summary>What was done, or would be.</summary>
    sealed record Answer(string Database, string? Vault, Guid? VaultId, bool DryRun, IReadOnlyList<SetupStep> Steps, IReadOnlyList<string> Notes);

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var options = new SetupOptions
        {
            Tables = Given(invocation, _tables),
            ExcludeTables = Given(invocation, _excluded),
            Rows = Given(invocation, _rows)?.Select(RowChoice.Parse).ToList(),
            Identity = invocation.Get(_identity),
            Role = invocation.Get(_role),
        };
        var connection = invocation.Settings.SourceConnection;
        if (!invocation.Get(_remove))
            _ = invocation.Settings.VaultPath;
        await using var source = await SourceConnection.OpenAsync(connection, stop);
        return invocation.Get(_remove)
            ? await RemoveAsync(invocation, source, options, stop)
            : await PrepareAsync(invocation, source, options, stop);
    }

    async Task<int> PrepareAsync(Invocation invocation, NpgsqlConnection source, SetupOptions options, CancellationToken stop)
    {
        var path = invocation.Settings.VaultPath;
        var known = await OpenExistingAsync(path, source, stop);
        options = options with { Vault = known?.Identity.Id ?? Guid.NewGuid() };
        // Also before the vault is made: what cannot be done to the source must not leave a vault behind.
        var plan = await SourceSetup.PlanAsync(source, options, stop);
        if (invocation.Get(_dryRun))
        {
            invocation.Answer(new Answer(source.Database, path, known?.Identity.Id, true, plan.Steps, plan.Notes), output => output.Write(plan));
            return (int)ExitCode.Done;
        }
        foreach (var note in plan.Notes)
            invocation.Log.Note(note);
        known ??= await CreateVaultAsync(invocation, path, source, options.Vault.Value, stop);
        var steps = new List<SetupStep>();
        await new SourceSetup(invocation.Clock).ApplyAsync(source, options, step =>
        {
            invocation.Log.SetupStep(step.Why);
            steps.Add(step);
        }, stop);
        invocation.Answer(
            new Answer(source.Database, known.Medium.Location, known.Identity.Id, false, steps, plan.Notes),
            output => output.WriteLine(steps.Count == 0
                ? $"{source.Database} was prepared already; its vault is {known.Medium.Location}."
                : $"{source.Database} is prepared, its vault is {known.Medium.Location}. Now start 'crmbackup run'."));
        return (int)ExitCode.Done;
    }

    async Task<int> RemoveAsync(Invocation invocation, NpgsqlConnection source, SetupOptions options, CancellationToken stop)
    {
        var plan = await SourceSetup.PlanRemovalAsync(source, options, stop);
        if (invocation.Get(_dryRun))
        {
            invocation.Answer(new Answer(source.Database, null, null, true, plan.Steps, plan.Notes), output => output.Write(plan));
            return (int)ExitCode.Done;
        }
        var steps = new List<SetupStep>();
        if (plan.Steps.Count > 0)
        {
            invocation.ConfirmOrRefuse($"Take {plan.Steps.Count} things of crmbackup away from {source.Database}? Its protection ends.");
            await new SourceSetup(invocation.Clock).RemoveAsync(source, options, step =>
            {
                invocation.Log.SetupStep(step.Why);
                steps.Add(step);
            }, stop);
        }
        invocation.Answer(new Answer(source.Database, null, null, false, steps, plan.Notes), output => output.WriteLine(
            steps.Count == 0 ? $"{source.Database} holds nothing of crmbackup." : $"{source.Database} is as it was before init. The vault was not touched."));
        return (int)ExitCode.Done;
    }

    /// <summary>Null when there is none yet.</summary>
    static async Task<BackupVault?> OpenExistingAsync(string path, NpgsqlConnection source, CancellationToken stop)
    {
        if (!File.Exists(Path.Combine(path, VaultPath.Identity)))
            return null;
        var vault = await BackupVault.OpenAsync(new DirectoryMedium(path), stop);
        var system = await ClusterAsync(source, stop);
        if (vault.Identity.SystemIdentifier != system)
            throw new RefusedException(
                $"the vault at {vault.Medium.Location} belongs to another source: the database {vault.Identity.Database} of system {vault.Identity.SystemIdentifier}, not {system}",
                "Correct --source, or choose an empty folder for --vault: after pg_upgrade, too. The old vault is restored as before.");
        return vault;
    }

    static async Task<BackupVault> CreateVaultAsync(
        Invocation invocation, string path, NpgsqlConnection source, Guid id, CancellationToken stop)
    {
        var system = await ClusterAsync(source, stop);
        var medium = DirectoryMedium.CreateRoot(path);
        foreach (var warning in (await MediumProbe.RunAsync(medium, stop)).Warnings())
            invocation.Log.MediumWarning(path, warning);
        var vault = await BackupVault.CreateAsync(
            medium, new VaultIdentity(id, VaultFormat.Current, system, source.Database, invocation.Clock.GetUtcNow()), stop);
        invocation.Log.VaultMade(medium.Location);
        await invocation.RememberHeadAsync(vault, written: true, stop);
        return vault;
    }

    /// <summary>A vault that does not know its cluster could not refuse another one.</summary>
    static async Task<ulong> ClusterAsync(NpgsqlConnection source, CancellationToken stop) =>
        await SourceIdentity.ClusterAsync(source, stop) is not 0 and var system ? system : throw new RefusedException(
            "this role may not ask which cluster the source is", "As a superuser: GRANT EXECUTE ON FUNCTION pg_control_system() TO the role, and init again.");

    static string[]? Given(Invocation invocation, Option<string[]> option) => invocation.Has(option) ? invocation.Get(option) : null;
}
