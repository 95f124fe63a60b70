using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;

namespace CrmBackup.Cdc.Cli;

sealed class SqlCommand : Verb
{
    public SqlCommand()
        : base("sql", "Prints DuckDB views of every table, now and at any moment, over the vault's Parquet; complete up to the settled watermark") =>
        Options.Add(SharedOptions.Vault);

    public override IReadOnlyList<string> Examples => ["crmbackup sql --vault /backup/crm > crm.sql"];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var vault = await invocation.OpenVaultAsync(stop);
        var views = SqlViews.Text(vault, vault.Medium.Location, stop);
        invocation.Answer(new Answer(vault.State.SettledTo, views), output => output.Write(views));
        return (int)ExitCode.Done;
    }

    /// <param name="SettledTo">The views are complete up to here.</param>
    sealed record Answer(Lsn SettledTo, string Sql);
}
