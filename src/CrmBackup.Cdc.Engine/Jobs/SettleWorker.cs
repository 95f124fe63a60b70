using System.Text.Json;
using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Does settle jobs, one at a time: writes segments that no commit names yet, and tells the archive.</summary>
public sealed class SettleWorker
{
    /// <summary>A stopped worker says so with this much time.</summary>
    static readonly TimeSpan _farewell = TimeSpan.FromSeconds(5);
    readonly ControlPlane _plane;
    readonly Func<SettleRequested, CancellationToken, Task<CommitContent>> _settle;
    readonly ILogger _log;
    readonly string _name = $"{Environment.MachineName}/{Environment.ProcessId}";

    /// <param name="settle">Writes and reads back the segments; what is half done when it throws is an orphan.</param>
    public SettleWorker(ControlPlane plane, Func<SettleRequested, CancellationToken, Task<CommitContent>> settle, ILogger<SettleWorker> log)
    {
        (_plane, _settle, _log) = (plane, settle, log);
        plane.Take<SettleRequested>(plane.Queue("settle"), DoAsync);
    }

    async Task DoAsync(SettleRequested job, CancellationToken stop)
    {
        _log.SettleBegins(job.Job, job.LogSegments.Count);
        try
        {
            var content = await _settle(job, stop);
            var json = JsonSerializer.Serialize(content, CoreJson.Default.CommitContent);
            await _plane.SendAsync(_plane.Queue("sealed"), new SegmentSealed(job.Job, job.Vault, json, _name), null, stop);
            _log.SettleEnds(job.Job, content.Add.Count);
        }
        catch (Exception failure)
        {
            _log.SettleFailed(failure, job.Job);
            var reason = stop.IsCancellationRequested ? "the worker was stopped" : failure.Message;
            using var patience = new CancellationTokenSource(_farewell);
            await _plane.SendAsync(_plane.Queue("failed"), new JobFailed(job.Job, job.Vault, reason, _name), null, patience.Token);
        }
    }
}
