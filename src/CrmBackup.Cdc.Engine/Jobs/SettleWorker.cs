using System.Text.Json;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Writes and reads back the segments of a plan. What is half done when it throws is an orphan.</summary>
/// <param name="stem">Begins the new files' names.</param>
public delegate Task<CommitContent> SettleWork(SettlePlan plan, VaultState state, string stem, CancellationToken stop);

/// <summary>Does settle jobs, one at a time: writes segments that no commit names yet, and tells the archive.</summary>
public sealed class SettleWorker
{
    /// <summary>A stopped worker says so with this much time.</summary>
    static readonly TimeSpan _farewell = TimeSpan.FromSeconds(5);
    /// <summary>How much later than the archive a worker may see a commit on a shared medium.</summary>
    static readonly TimeSpan _lag = TimeSpan.FromSeconds(30);
    readonly ControlPlane _plane;
    readonly Func<CancellationToken, Task<VaultState>> _state;
    readonly SettleWork _work;
    readonly TimeProvider _clock;
    readonly ILogger _log;
    readonly IMedium? _own;
    readonly TaskCompletionSource _away = new(TaskCreationOptions.RunContinuationsAsynchronously);
    readonly string _name = $"{Environment.MachineName}/{Environment.ProcessId}";

    /// <param name="state">Reads the vault's present state; called by one job at a time.</param>
    /// <param name="own">The vault's medium as this worker sees it, with no archive beside it that would wait for it.</param>
    public SettleWorker(
        ControlPlane plane, Func<CancellationToken, Task<VaultState>> state, SettleWork work, TimeProvider clock, ILogger<SettleWorker> log,
        IMedium? own = null)
    {
        (_plane, _state, _work, _clock, _log, _own) = (plane, state, work, clock, log, own);
        plane.Take<SettleRequested>(plane.Queue("settle"), DoAsync);
    }

    /// <summary>The work as it is done; tests have others.</summary>
    public static SettleWork By(SettleJob job) => (plan, state, stem, stop) => job.RunAsync(plan, state.Shape, stem, stop);

    /// <summary>Until stopped, or until a job showed that the worker's own medium takes no data now: that job was given back, and while this
    /// worker waits, others get the next ones.</summary>
    /// <exception cref="MediumException">What is to be waited for.</exception>
    public Task WhileTakingDataAsync(CancellationToken stop) => _away.Task.WaitAsync(stop);

    async Task DoAsync(SettleRequested job, CancellationToken stop)
    {
        _log.SettleBegins(job.Job, job.LogSegments.Count);
        try
        {
            var state = await StateAsync(job, stop);
            var content = await _work(Plan(job, state), state, Stem(job.Epoch, job.Job), stop);
            var json = JsonSerializer.Serialize(content, CoreJson.Default.CommitContent);
            await _plane.SendAsync(_plane.Queue("sealed"), new SegmentSealed(job.Job, job.Vault, json, _name), null, stop);
            _log.SettleEnds(job.Job, content.Add.Count);
        }
        catch (Exception failure)
        {
            var away = stop.IsCancellationRequested ? null : await AwayAsync(failure, stop);
            if (stop.IsCancellationRequested)
                _log.SettleCutOff(job.Job);
            else if (away is not null)
                _log.SettleGivenBack(job.Job);
            else
                _log.SettleFailed(failure, job.Job);
            var answer = new JobFailed(
                job.Job, job.Vault, failure.Message, _name, WorkerStopped: stop.IsCancellationRequested || away is not null);
            try
            {
                using var patience = new CancellationTokenSource(_farewell);
                await _plane.SendAsync(_plane.Queue("failed"), answer, null, patience.Token);
            }
            finally
            {
                if (away is not null)
                    _away.TrySetException(away);
            }
        }
    }

    /// <summary>A medium that is damaged is no reason to wait, and neither is a stop: the job has failed.</summary>
    async Task<MediumException?> AwayAsync(Exception failure, CancellationToken stop)
    {
        try
        {
            return _own is null ? null : await MediumPatience.CauseAsync(_own, failure, stop);
        }
        catch (Exception unclear) when (unclear is MediumException or OperationCanceledException)
        {
            return null;
        }
    }

    /// <summary>Unique in the vault's life.</summary>
    internal static string Stem(int epoch, Guid job) => $"{epoch:D8}-{job:N}";

    async Task<VaultState> StateAsync(SettleRequested job, CancellationToken stop)
    {
        var begun = _clock.GetTimestamp();
        while (true)
        {
            var state = await _state(stop);
            if (state.Head >= job.Head)
                return state;
            if (_clock.GetElapsedTime(begun) > _lag)
                throw new BackupException(
                    $"the worker sees commit {state.Head}, the job needs {job.Head}", "Worker and archive must work on the same vault: check --vault.");
            await Task.Delay(TimeSpan.FromMilliseconds(200), _clock, stop);
        }
    }

    static SettlePlan Plan(SettleRequested job, VaultState state) => new(
        job.Timeline,
        [.. job.LogSegments.Select(path => state.Segments.GetValueOrDefault(path)
            ?? throw new BackupException($"{path} is not in the live set any more", "The job is an old one: nothing to do."))],
        Lsn.TryParse(job.To, out var to) ? to : throw new FormatViolationException($"job {job.Job} has the position '{job.To}'"));
}
