using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>A live server as capture's source.</summary>
/// <param name="longTransaction">A transaction open for longer is waited for before a slot is made.</param>
public sealed class PostgresSource(
    NpgsqlConnectionStringBuilder settings, TimeSpan longTransaction, TimeProvider clock, ILogger logger) : ISource
{
    public async Task<ISourceSession> OpenAsync(StreamStart start, CancellationToken stop)
    {
        var watch = await SourceWatch.OpenAsync(settings, clock, stop);
        try
        {
            var stream = await ReplicationStream.OpenAsync(settings, watch.Connection, start, clock, logger, stop);
            watch.WatchCatalog(stream.Facts, stream.Timeline, start.CatalogSeen);
            return new Session(settings, watch, stream, clock);
        }
        catch
        {
            await watch.DisposeAsync();
            throw;
        }
    }

    public async Task MakeSlotAnewAsync(SlotLostException lost, int? ownPid, CancellationToken stop)
    {
        await using var connection = await SourceConnection.OpenAsync(settings, stop);
        // A slot being made keeps WAL too: it is not begun while it would only wait.
        string? named = null;
        while (await OldestTransaction.FindAsync(connection, longTransaction, stop) is { } oldest)
        {
            if (named != oldest.Who)
                logger.SlotWaits(named = oldest.Who);
            await Task.Delay(TimeSpan.FromSeconds(1), clock, stop);
        }
        await lost.MakeAnewAsync(connection, ownPid, clock, stop);
    }

    public async Task SkipAsync(StreamFacts facts, int? ownPid, string why, CancellationToken stop)
    {
        await using var connection = await SourceConnection.OpenAsync(settings, stop);
        await SlotLostException.SkipAsync(connection, facts.Slot, ownPid, why, clock, stop);
    }

    public Task MendAsync(StreamFacts facts, Guid vault, int? ownPid, SetupDamagedException damaged, CancellationToken stop) =>
        SetupDamage.MendAsync(settings, vault, facts, ownPid, damaged.Message, clock, stop);

    sealed class Session(
        NpgsqlConnectionStringBuilder settings, SourceWatch watch, ReplicationStream stream, TimeProvider clock) : ISourceSession
    {
        /// <summary>Tables whose changes are not told are looked for this often, and at each look while there are any.</summary>
        static readonly TimeSpan _tellEvery = TimeSpan.FromSeconds(10);
        readonly LockYield _yield = new(settings, clock);
        long _toldAt;

        public StreamFacts Facts => stream.Facts;
        public StreamOpened Opened => stream.Opened;
        public StreamBeginning BeginsAt => stream.BeginsAt;
        public ulong SystemIdentifier => stream.SystemIdentifier;
        public int WalSenderPid => stream.WalSenderPid;
        public ReadOnlyMemory<byte> Frame => stream.Frame;
        public Lsn FrameAt => stream.FrameAt;
        public Lsn Reached => stream.Reached;

        public ValueTask ReadAsync() => stream.ReadAsync();

        public void Confirm(Lsn durable) => stream.Confirm(durable);

        public async Task<SourceMoment> LookAsync(CancellationToken stop)
        {
            if (Facts.Publications.Count > 1 && (_toldAt == 0 || clock.GetElapsedTime(_toldAt) >= _tellEvery))
                _toldAt = await watch.TellChangesAsync(stop) ? 0 : clock.GetTimestamp();
            return await watch.LookAsync(WalSenderPid, stop);
        }

        public Task<Inventory> TakeInventoryAsync(CancellationToken stop) => watch.TakeInventoryAsync(stream.Timeline, stop);

        public Task<IReadOnlyList<SequenceState>> SampleSequencesAsync(CancellationToken stop) => watch.SampleSequencesAsync(stop);

        public Task<(CatalogSeen? Seen, bool CanMend)> LookAtCatalogAsync(SourceMoment moment, CancellationToken stop) =>
            watch.LookAtCatalogAsync(moment, stop);

        public Task WriteAnchorAsync(CancellationToken stop) => watch.WriteAnchorAsync(stop);

        public IChunkReader OpenChunkReader() => new BaseChunkReader(settings, Facts.WaitFor, stream.Timeline, _yield, clock);

        public Task<DumpedSchema> DumpSchemaAsync(CancellationToken stop) => new SchemaDump(settings, _yield, clock).RunAsync(stop);

        public async ValueTask DisposeAsync()
        {
            await _yield.DisposeAsync();
            await stream.DisposeAsync();
            await watch.DisposeAsync();
        }
    }
}
