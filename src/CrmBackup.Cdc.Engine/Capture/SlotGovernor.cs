using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>Weighs the slot beside the stream, also while nobody takes what is read; warns, and in the end lets go of it, so that the CRM's
/// disk never fills because of us (rule 20). Before, it asks who else holds what is kept, and names them.</summary>
/// <param name="endStream">Ends the stream, if there is one, and gives the process of its walsender.</param>
sealed class SlotGovernor(CaptureOptions options, Func<Task<int?>> endStream, TimeProvider clock, ILogger logger)
{
    readonly GovernorOptions _limits = options.Governor;
    string? _warned;
    string? _unweighed;

    /// <summary>Ends only by cancellation: a source that is away is weighed when it is back.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (true)
        {
            try
            {
                await using var connection = await SourceConnection.OpenAsync(options.Source, stop);
                while (true)
                {
                    await WeighAsync(connection, stop);
                    _unweighed = null;
                    await Task.Delay(_limits.Every, clock, stop);
                }
            }
            catch (Exception failure) when (failure is BackupException or NpgsqlException && !stop.IsCancellationRequested)
            {
                if (_unweighed != failure.Message)
                    logger.SlotNotWeighed(_unweighed = failure.Message);
                await Task.Delay(_limits.Every, clock, stop);
            }
        }
    }

    async Task WeighAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        if (await SlotWeight.ReadAsync(connection, stop) is not { } weight)
            return;
        if (_limits.LetGo(weight) is { } reason)
        {
            reason = await WithCauseAsync(connection, weight, reason, stop);
            logger.SlotLetGo(reason);
            await SlotLostException.LetGoAsync(connection, weight.Slot, await endStream(), $"the slot was let go: {reason}", clock, stop);
            _warned = null;
        }
        else if (_limits.Warning(weight) is { } warning)
        {
            // Once for each kind of trouble: figures change all the time.
            var kind = new string([.. warning.Where(letter => !char.IsAsciiDigit(letter))]);
            if (_warned != kind)
                logger.SlotIsHeavy(await WithCauseAsync(connection, weight, warning, stop));
            _warned = kind;
        }
        else
            _warned = null;
    }

    async Task<string> WithCauseAsync(NpgsqlConnection connection, SlotWeight weight, string what, CancellationToken stop) =>
        await OldestTransaction.FindAsync(connection, options.LongTransaction, stop) is { } oldest && weight.UnreadBytes < weight.RetainedBytes / 2
            ? $"{what}; the cause is {oldest.Who}, open for {Math.Floor(oldest.Age.TotalSeconds)} s: a new slot waits for its end"
            : what;
}
