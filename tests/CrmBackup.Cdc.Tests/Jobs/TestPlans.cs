using System.Collections.Immutable;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests;

/// <summary>Plans over empty log segments, and results of the same: for what is about jobs and not about segments.</summary>
static class TestPlans
{
    static readonly SegmentEntry[] _logs = [.. Enumerable.Range(0, 20).Select(n => new SegmentEntry(
        $"log/{n:00}", SegmentKind.Log, 0, 0, 0, 0, 100, 0, Sha256.Zero, Sha256.Zero, new Lsn((ulong)n + 1), new Lsn((ulong)n + 1), null, null, 0, 1))];

    public static VaultState State { get; } = VaultState.Empty with
    {
        Head = 7,
        Segments = _logs.ToImmutableDictionary(log => log.Path),
    };

    public static SettlePlan Plan(int log) => new(1, [_logs[log]], _logs[log].Last);

    public static CommitContent Result(SettlePlan plan) => new() { Remove = [.. plan.Logs.Select(log => log.Path)], SettledTo = plan.To };
}
