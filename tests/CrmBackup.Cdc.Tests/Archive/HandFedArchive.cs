using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;

namespace CrmBackup.Cdc.Tests;

/// <summary>An archive at work on a vault of its own. The test is the capture: it opens streams, lets time pass, answers orders. One table.</summary>
sealed class HandFedArchive : IAsyncDisposable
{
    public static readonly CatalogTable Accounts = new(16400, "public", "accounts", 'r', 'p', ReplicaIdentity.Default, [1], 7, 2,
        [new CatalogColumn(1, "id", 23, -1, "integer", true, 'n', null)]);
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    static readonly TimeSpan Look = TimeSpan.FromMilliseconds(5);
    readonly TemporaryVault _folder;
    readonly VaultWriter _writer;
    readonly InProcessChangeLog _log = new(8);
    readonly CancellationTokenSource _stop = new(Patience);
    readonly IAsyncEnumerator<ArchiveRequest> _requests;
    readonly Task _running;
    readonly BackupVault _vault;
    StartStream? _start;
    ulong _block;
    Sha256 _previous;

    HandFedArchive(TemporaryVault folder, BackupVault vault, VaultWriter writer, ArchiveOptions options)
    {
        (_folder, _vault, _writer) = (folder, vault, writer);
        _requests = _log.RequestsAsync(_stop.Token).GetAsyncEnumerator();
        _running = new ArchiveLoop(vault, writer, _log, options, TimeProvider.System, NullLogger<ArchiveLoop>.Instance).RunAsync(_stop.Token);
    }

    public static async Task<HandFedArchive> StartAsync()
    {
        var folder = new TemporaryVault();
        var vault = await folder.CreateAsync();
        return new HandFedArchive(folder, vault, await folder.WriterAsync(vault),
            new ArchiveOptions { BaseChunkPages = 1, BaseParallel = 1, Flush = TimeSpan.FromMilliseconds(20) });
    }

    public VaultState State => _vault.State;

    /// <summary>Of the source: everything before was told.</summary>
    public ulong Now { get; private set; } = 0x100;

    public static Position At(ulong lsn) => new(1, new Lsn(lsn));

    /// <summary>Takes the next asking for a stream, and opens it where the vault ends.</summary>
    /// <param name="opened">What is said of it; the positions are filled in.</param>
    /// <param name="at">Null: at the vault's end.</param>
    /// <param name="listed">False: the listing's position does not come.</param>
    /// <param name="more">Tables, beside the one that there always is.</param>
    /// <param name="look">At the catalog.</param>
    public async Task OpenAsync(
        StreamOpened opened, Position? at = null, bool listed = true, CatalogTable[]? more = null, CatalogSeen? look = null)
    {
        _start = await AskedAsync<StartStream>(asked => asked.Epoch != _start?.Epoch);
        (_block, _previous) = (0, Sha256.Zero);
        var from = at ?? _start.At ?? At(Now);
        Now = Math.Max(Now, from.Lsn.Value);
        await TellAsync([opened with { SlotAt = from, StartedAt = from },
            new Inventory(At(listed ? Now + 8 : ulong.MaxValue), [Accounts, .. more ?? []]), .. look is null ? [] : (ControlEntry[])[look]]);
    }

    /// <summary>Capture lost the source: it begins over, and the archive asks for another stream.</summary>
    public async Task BreakAsync()
    {
        _block = 0;
        await TellAsync();
    }

    /// <summary>Then nothing happens for a while.</summary>
    public async Task TellAsync(params ControlEntry[] entries)
    {
        var (builder, before) = (new BlockBuilder(), Now);
        foreach (var entry in (ControlEntry[])[.. entries, new IdlePosition(At(Now += 0x10), new SourceTime(1_000_000))])
            builder.Add(entry.ToEntry());
        var block = builder.Cut(new BlockHeader(BlockKind.Stream, TemporaryVault.Identity.SystemIdentifier, 5, 1, _start!.Epoch, _block++, 0, _previous,
            new Lsn(before), new Lsn(Now), 0, 0, Last: false));
        _previous = block.Hash;
        await _log.PublishAsync(block, _stop.Token);
    }

    /// <summary>Gives the base chunk that is asked for next: one row.</summary>
    public async Task<ReadBaseChunk> AnswerAsync()
    {
        var order = await AskedAsync<ReadBaseChunk>(_ => true);
        var builder = new BlockBuilder();
        builder.Add([EntryType.CopyRows, .. "1\n"u8]);
        builder.Add(new BaseChunkRead("700:700:", Accounts, At(Now), 1).ToEntry());
        await _log.PublishAsync(builder.Cut(new BlockHeader(BlockKind.Answer, TemporaryVault.Identity.SystemIdentifier, 5, 1, order.Epoch, 0, order.Order,
            Sha256.Zero, Lsn.None, Lsn.None, 0, 0, Last: true)), _stop.Token);
        return order;
    }

    public async Task UntilAsync(Func<VaultState, bool> holds)
    {
        while (!holds(State))
        {
            if (_running.IsCompleted)
                await _running;
            await Task.Delay(Look, _stop.Token);
        }
    }

    async Task<T> AskedAsync<T>(Func<T, bool> wanted) where T : ArchiveRequest
    {
        while (await _requests.MoveNextAsync())
            if (_requests.Current is T asked && wanted(asked))
                return asked;
        throw new InvalidOperationException("the archive asks no more");
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        await _requests.DisposeAsync();
        await _log.DisposeAsync();
        _writer.Dispose();
        _stop.Dispose();
        _folder.Dispose();
    }
}
