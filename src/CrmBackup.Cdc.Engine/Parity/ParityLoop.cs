using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Writes parity of what was settled, group after group. What stands in its way is said and left for later: capture goes on.</summary>
/// <param name="commit">Has the archive commit it.</param>
public sealed class ParityLoop(
    BackupVault vault, ParityJob job, Func<CommitContent, CancellationToken, Task> commit, ParityOptions options, TimeProvider clock, ILogger<ParityLoop> log)
{
    DateTimeOffset _next = DateTimeOffset.MinValue;
    DateTimeOffset _notBefore = DateTimeOffset.MinValue;
    /// <summary>Nothing to look for while it stands.</summary>
    Lsn _settled;

    /// <summary>All groups that are due: full ones, and every hour (<see cref="ParityOptions.Every"/>) or at once the rest.</summary>
    public async Task StepAsync(bool atOnce, CancellationToken stop)
    {
        var now = clock.GetUtcNow();
        if (!atOnce && (now < _notBefore || (now < _next && vault.State.SettledTo == _settled)))
            return;
        _settled = vault.State.SettledTo;
        var all = atOnce || now >= _next;
        try
        {
            while (ParityPlan.For(vault.State, options, all) is { } plan)
                await commit(await job.RunAsync(plan, vault.State, $"{vault.State.Epoch:D8}-{Guid.NewGuid():N}", stop), stop);
            if (all)
                _next = clock.GetUtcNow() + options.Every;
        }
        catch (BackupException failure) when (failure.ExitCode is ExitCode.Failed or ExitCode.Difference)
        {
            _notBefore = clock.GetUtcNow() + options.Every;
            log.ParityPutOff(failure.Message, options.Every);
        }
    }
}
