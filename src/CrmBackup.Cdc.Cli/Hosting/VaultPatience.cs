using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Cli;

/// <summary>Works on a vault as long as its medium lets it, and waits while it does not: the slot, or the broker, keeps what comes meanwhile.
/// Each time everything begins anew from what can be read. Says once what it waits for, and once that it is over.</summary>
/// <param name="writes">It is the archive's work: <c>status</c> on this machine tells, too, what is waited for.</param>
sealed class VaultPatience(Invocation invocation, Func<BackupVault, CancellationToken, Task<int>> work, bool writes = true)
{
    static readonly TimeSpan _firstPause = TimeSpan.FromSeconds(1), _longestPause = TimeSpan.FromSeconds(30);
    TimeSpan _pause = _firstPause;
    string? _said;

    public async Task<int> RunAsync(CancellationToken stop)
    {
        var vault = await invocation.OpenVaultAsync(stop);
        var note = new WaitingNote(invocation.Settings.StateFolder, vault.Identity.Id);
        Noted(note.Remove);
        while (true)
        {
            var head = vault.State.Head;
            try
            {
                return await work(vault, stop);
            }
            catch (Exception failure) when (failure is not (OperationCanceledException or RefusedException or UsageException))
            {
                if (await MediumPatience.CauseAsync(vault.Medium, failure, stop) is not { } cause)
                    throw;
                // A writer's first commit is small: it may find room where nothing else does.
                if (vault.State.Head > head + 1)
                    (_pause, _said) = (_firstPause, null);
                Say(cause, note);
            }
            await UsableAsync(vault.Medium, note, stop);
            vault = await BackupVault.OpenAsync(vault.Medium, stop, vault.Identity.Id, vault.Trust);
            Noted(note.Remove);
            invocation.Log.VaultIsBack(vault.Medium.Location);
        }
    }

    async Task UsableAsync(IMedium medium, WaitingNote note, CancellationToken stop)
    {
        while (true)
        {
            await Task.Delay(_pause, invocation.Clock, stop);
            _pause = _pause * 2 < _longestPause ? _pause * 2 : _longestPause;
            try
            {
                await MediumPatience.ProbeAsync(medium, stop);
                return;
            }
            catch (MediumException failure) when (failure.Passes())
            {
                Say(failure, note);
            }
        }
    }

    void Say(MediumException failure, WaitingNote note)
    {
        if (failure.Message == _said)
            return;
        _said = failure.Message;
        invocation.Log.VaultIsWaitedFor(failure.Message, failure.Hint);
        Noted(() => note.Write($"{failure.Message}: process {Environment.ProcessId} waits since {invocation.Clock.GetUtcNow():u}"));
    }

    /// <summary>A state directory that cannot be written is said, and is no reason to end.</summary>
    void Noted(Action action)
    {
        if (!writes)
            return;
        try
        {
            action();
        }
        catch (BackupException failure)
        {
            invocation.Log.HeadNotRemembered(failure.Message, failure.Hint);
        }
    }
}
