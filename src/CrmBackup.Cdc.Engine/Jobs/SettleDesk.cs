using System.Collections.Concurrent;
using System.Text.Json;
using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>The archive's side of settling: gives jobs out, again when no answer comes, and has the first result of each committed. A result that
/// comes too late, or that nobody here asked for, is not committed: its files are orphans.</summary>
public sealed class SettleDesk
{
    readonly ControlPlane _plane;
    readonly Func<CommitContent, CancellationToken, Task> _commit;
    readonly JobOptions _options;
    readonly TimeProvider _clock;
    readonly ILogger _log;
    readonly ConcurrentDictionary<Guid, Attempts> _open = new();

    /// <param name="commit">Checks the segments on the medium, and has the archive commit them.</param>
    public SettleDesk(
        ControlPlane plane, Func<CommitContent, CancellationToken, Task> commit, JobOptions options, TimeProvider clock, ILogger<SettleDesk> log)
    {
        (_plane, _commit, _options, _clock, _log) = (plane, commit, options, clock, log);
        plane.Take<SegmentSealed>(plane.Queue("sealed"), SealedAsync);
        plane.Take<JobFailed>(plane.Queue("failed"), FailedAsync);
    }

    /// <summary>Returns when the segments have been settled by some worker, and committed.</summary>
    public async Task<CommitContent> SettleAsync(IReadOnlyList<string> logSegments, CancellationToken stop)
    {
        var attempts = new Attempts();
        try
        {
            for (var number = 1; number <= _options.AttemptsMax; number++)
            {
                if (await AttemptAsync(attempts, logSegments, stop) is { } content)
                {
                    Close(attempts);
                    await _commit(content, stop);
                    return content;
                }
                await Task.Delay(_options.Retry, _clock, stop);
            }
        }
        finally
        {
            Close(attempts);
        }
        throw new BackupException(
            $"{logSegments.Count} log segments could not be settled in {_options.AttemptsMax} attempts: {attempts.LastFailure}",
            "Nothing is lost: they stay as they are. Look at the workers' logs.");
    }

    /// <summary>Null when this attempt came to nothing; a result of an attempt before it is welcome too.</summary>
    async Task<CommitContent?> AttemptAsync(Attempts attempts, IReadOnlyList<string> logSegments, CancellationToken stop)
    {
        var job = Guid.NewGuid();
        var failed = attempts.Begin(job);
        _open[job] = attempts;
        try
        {
            await _plane.SendAsync(_plane.Queue("settle"), new SettleRequested(job, _plane.Vault, logSegments), _options.Patience, stop);
            await Task.WhenAny(attempts.Result, failed).WaitAsync(_options.Patience, _clock, stop);
        }
        catch (TimeoutException late)
        {
            attempts.LastFailure = late.Message;
        }
        if (attempts.Result.IsCompletedSuccessfully)
            return await attempts.Result;
        _log.SettleAgain(job, attempts.LastFailure);
        return null;
    }

    /// <summary>What comes from now on comes too late.</summary>
    void Close(Attempts attempts)
    {
        foreach (var job in attempts.Jobs)
            _open.TryRemove(job, out _);
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
            attempts.Failed(result.Job, result.Reason);
        return Task.CompletedTask;
    }

    /// <summary>One piece of work and the jobs it was given out as.</summary>
    sealed class Attempts
    {
        readonly TaskCompletionSource<CommitContent> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
        readonly ConcurrentDictionary<Guid, TaskCompletionSource> _failures = new();

        public Task<CommitContent> Result => _result.Task;

        public IEnumerable<Guid> Jobs => _failures.Keys;

        public string LastFailure { get; set; } = "no worker answered in time";

        /// <summary>Completes when that job has failed.</summary>
        public Task Begin(Guid job) =>
            _failures.GetOrAdd(job, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

        /// <summary>False when a result is already there.</summary>
        public bool Sealed(CommitContent content) => _result.TrySetResult(content);

        public void Failed(Guid job, string reason)
        {
            LastFailure = reason;
            _failures[job].TrySetResult();
        }
    }
}
