using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <param name="Keep">Chooses rows of the one planned table; null = all.</param>
sealed record PlannedRestore(ResolvedTarget Target, RestorePlan Plan, Func<ReadOnlyMemory<byte>, bool>? Keep)
{
    /// <summary>About 25 MB of segments and 150,000 rows a second, on a small server.</summary>
    public double ExpectedSeconds => (Plan.Bytes / 25e6) + (Plan.Relations.Sum(relation => relation.RowsRead) / 150e3) + 2;
}

/// <summary>First phase: which moment, which tables, which segments. Touches nothing.</summary>
static class RestorePlanning
{
    public static PlannedRestore Plan(BackupVault vault, RestoreOptions options)
    {
        var state = vault.State;
        var resolution = new TargetResolution(state, new RelationRows(vault.Medium).Transactions, TableChoice.Ever(state, options.Tables));
        var target = resolution.Resolve(options.To, options.Before);
        var plan = RestorePlan.For(state, target.At, TableChoice.At(state, options.Tables, target.At.Lsn));
        return new PlannedRestore(target, plan, RowFilter.Of(options.Where, plan.Relations));
    }
}
