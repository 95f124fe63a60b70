using System.Collections.Concurrent;
using System.Text.Json;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>The archive's side of settling by workers: gives a plan out as a job, again when no answer comes, and checks the first result. A
/// result that comes too late, or that nobody here asked for, is dropped: its files are orphans.</summary>
public sealed class SettleDesk
{
    readonly ControlPlane _plane;
    readonly IMedium _medium;
    readonly Func<VaultState> _state;
    readonly JobOptions _options;
    readonly TimeProvider _clock;
    readonly ILogger _log;
    readonly ConcurrentDictionary<Guid, Attempts> _open = new();

    /// <param name="state">The archive's present view of the vault.</param>
    public SettleDesk(
        ControlPlane plane, IMedium medium, Func<VaultState> state, JobOptions options, TimeProvider clock, ILogger<SettleDesk> log)
    {
        (_plane, _medium, _state, _options, _clock, _log) = (plane, medium, state, options, clock, log);
        plane.Take<SegmentSealed>(plane.Queue("sealed"), SealedAsync);
        plane.Take<JobFailed>(plane.Queue("failed"), FailedAsync);
    }

    /// <summary>Has a worker carry the plan out; waits for one as long as it takes. The result is for the archive to commit.</summary>
    /// <exception cref="BackupException">The job itself failed, again and again.</exception>
    public async Task<CommitContent> SettleAsync(SettlePlan plan, CancellationToken stop)
    {
        if (plan.Logs.Count == 0)
            return new CommitContent { SettledTo = plan.To };
        var attempts = new Attempts();
        try
        {
            for (var pause = _options.Retry; attempts.Failures < _options.AttemptsMax; pause = TimeSpan.FromTicks(Math.Min(2 * pause.Ticks, TimeSpan.TicksPerMinute)))
            {
                if (await AttemptAsync(attempts, plan, stop) is { } content)
                    return Checked(_medium, content, plan);
                await Task.Delay(pause, _clock, stop);
            }
        }
        finally
        {
            // What comes from now on comes too late.
            foreach (var job in attempts.Jobs)
                _open.TryRemove(job, out _);
        }
        throw new BackupException(
            $"{plan.Logs.Count} log segments could not be settled in {attempts.Failures} attempts: {attempts.LastFailure}",
            "Nothing is lost: they stay as they are. Look at the workers' logs.");
    }

    /// <summary>Null when this attempt came to nothing; a result of an attempt before it is welcome too.</summary>
    async Task<CommitContent?> AttemptAsync(Attempts attempts, SettlePlan plan, CancellationToken stop)
    {
        var job = Guid.NewGuid();
        var failed = attempts.Begin(job);
        _open[job] = attempts;
        var state = _state();
        var request = new SettleRequested(
            job, _plane.Vault, state.Epoch, state.Head, plan.Timeline, [.. plan.Logs.Select(log => log.Path)], plan.To.ToString());
        var reason = "no worker answered in time";
        try
        {
            await _plane.SendAsync(_plane.Queue("settle"), request, _options.Patience, stop);
            await (await Task.WhenAny(attempts.Result, failed).WaitAsync(_options.Patience, _clock, stop));
            reason = attempts.LastFailure;
        }
        catch (TimeoutException)
        {
            // Not a failure of the job: there may be no worker now.
        }
        if (attempts.Result.IsCompletedSuccessfully)
            return await attempts.Result;
        _log.SettleAgain(job, reason);
        return null;
    }

    /// <summary>The worker has read its segments back by the other library. What lies on the medium now is compared once more, because the log
    /// segments will be dropped for it.</summary>
    internal static CommitContent Checked(IMedium medium, CommitContent content, SettlePlan plan)
    {
        if (!content.Remove.SequenceEqual(plan.Logs.Select(log => log.Path)) || content.SettledTo != plan.To
            || content.Add.Any(segment => segment.Kind != SegmentKind.Changes)
            || content.Add.Sum(segment => segment.Rows) != plan.Logs.Sum(log => log.Rows))
            throw new DifferenceException(
                "a worker's result is not that of its job", "Nothing was dropped. Archive and workers must be of the same version.");
        foreach (var segment in content.Add)
            SegmentFile.VerifyWritten(medium.OpenRead(segment.Path), segment);
        return content;
    }

    Task SealedAsync(SegmentSealed result, CancellationToken stop)
    {
        var content = JsonSerializer.Deserialize(result.Content, CoreJson.Default.CommitContent)
            ?? throw new FormatViolationException($"the result of job {result.Job} is null");
        if (!_open.TryGetValue(result.Job, out var attempts) || !attempts.Sealed(content))
            _log.SettledTooLate(result.Job, result.Worker, content.Add.Count);
        return Task.CompletedTask;
    }

    Task FailedAsync(JobFailed result, CancellationToken stop)
    {
        _log.SettleJobFailed(result.Job, result.Worker, result.Reason);
        if (_open.TryGetValue(result.Job, out var attempts))
            attempts.Failed(result);
        return Task.CompletedTask;
    }

    /// <summary>One plan and the jobs it was given out as.</summary>
    sealed class Attempts
    {
        readonly TaskCompletionSource<CommitContent> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
        readonly ConcurrentDictionary<Guid, TaskCompletionSource> _jobs = new();
        int _failures;

        public Task<CommitContent> Result => _result.Task;

        public IEnumerable<Guid> Jobs => _jobs.Keys;

        public int Failures => _failures;

        public string LastFailure { get; private set; } = "";

        /// <summary>Completes when that job has failed.</summary>
        public Task Begin(Guid job) =>
            _jobs.GetOrAdd(job, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

        /// <summary>False when a result is already there.</summary>
        public bool Sealed(CommitContent content) => _result.TrySetResult(content);

        public void Failed(JobFailed failed)
        {
            LastFailure = failed.Reason;
            if (!failed.WorkerStopped)
                Interlocked.Increment(ref _failures);
            _jobs[failed.Job].TrySetResult();
        }
    }
}
