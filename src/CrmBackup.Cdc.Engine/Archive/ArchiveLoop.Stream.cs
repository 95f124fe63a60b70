using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>The stream's side of the loop: epochs, blocks, flushes.</summary>
public sealed partial class ArchiveLoop
{
    EpochOrder _epoch = new(Guid.Empty);
    StartStream? _asked;
    EventReader? _reader;
    SourceTables? _tables;
    Inventory? _inventory;
    SegmentOrigin? _origin;
    long _foreignSeen;
    DateTimeOffset _lastSign;
    DateTimeOffset _lastFlush;
    DateTimeOffset _lastCommit;

    /// <summary>Begins a new epoch at the durable position. Whatever of the old one is not durable will come again.</summary>
    async Task AskForStreamAsync(CancellationToken stop)
    {
        _epoch = new EpochOrder(Guid.NewGuid());
        _events.TruncateTo(0);
        _pending.Take(null);
        _reader = null;
        _inventory = null;
        _looks.Clear();
        _silent = false;
        // Until the tables of now are known.
        IsProtecting = false;
        // What was sampled and not committed is known to nobody.
        _sequences.Clear();
        _bases.ForgetOrders();
        _schema?.ForgetOrders();
        _answers.Reset(_epoch.Epoch, null);
        var incarnation = _vault.State.Settings.TryGetValue(Setting.Incarnation, out var known) ? Guid.Parse(known) : (Guid?)null;
        // As the vault knows it: what was judged and not committed is judged once more.
        _catalog = new CatalogDesk(_vault.State);
        _asked = new StartStream(_epoch.Epoch, _vault.Identity.Id, _vault.Identity.SystemIdentifier, Durable, incarnation, _catalog.Seen)
        {
            Anchor = _vault.State.CoveredTo?.Anchor,
        };
        _logger.StreamAsked(Durable, _epoch.Epoch);
        await AskAgainAsync(stop);
    }

    /// <summary>A capture that runs the epoch ignores this; one that was started meanwhile begins it. An archive that another one has replaced,
    /// and that is told nothing any more, would take the stream away from it again and again.</summary>
    async Task AskAgainAsync(CancellationToken stop)
    {
        _lastSign = _clock.GetUtcNow();
        await _writer.RefuseWhenOvertakenAsync(stop);
        await _log.RequestAsync(_asked!, stop);
    }

    async Task ReadAsync(Block block, CancellationToken stop)
    {
        switch (_epoch.Judge(block))
        {
            case EpochOrder.Verdict.Drop:
                return;
            case EpochOrder.Verdict.Doubt:
                _logger.BlockDoubted(block.Header.Number);
                await AskForStreamAsync(stop);
                return;
        }
        _lastSign = _clock.GetUtcNow();
        if (block.Header.SystemIdentifier != _vault.Identity.SystemIdentifier)
            throw new RefusedException(
                $"the stream comes from system {block.Header.SystemIdentifier}, the vault belongs to {_vault.Identity.SystemIdentifier}",
                "Give the source this vault was made for, or make a new vault with 'crmbackup init'.");
        var idleBefore = !HasPending;
        foreach (var entry in block)
        {
            if (entry.Span[0] == EntryType.Control)
                await ControlAsync(ControlEntry.Parse(entry.Span), block.Header, stop);
            else
                (_reader ?? throw new FormatViolationException("events came before the stream was opened")).Read(entry.Span);
        }
        if (idleBefore && HasPending)
            // The flush interval counts from the first event that waits.
            _lastFlush = _clock.GetUtcNow();
        AfterBlock();
        if (_reader is { ChoiceChanged: true } || (_silent && !_setupUnusable))
        {
            await FlushAsync(stop);
            await AskForStreamAsync(stop);
        }
    }

    void AfterBlock()
    {
        if (_reader is null)
            return;
        while (_reader.SchemaChanges.TryDequeue(out var change))
        {
            if (_schema!.Changed(_reader.Position with { Lsn = change.End }, change.Described, _clock.GetUtcNow()) is { } ended)
                _pending.Schemas.Add(ended);
            _pending.Settings[SchemaDesk.LastDdl] = change.End.ToString();
        }
        while (_reader.Told.TryDequeue(out var told))
            _catalog!.Told(told);
        while (_reader.BasesNeeded.TryDequeue(out var lost))
        {
            _logger.GapOpened(GapScope.Relation, lost.Relation, _reader.Position, lost.Reason);
            RestartBase(lost.Relation);
        }
        if (_reader.ForeignMessages > _foreignSeen)
        {
            _foreignSeen = _reader.ForeignMessages;
            _logger.ForeignMessages(_foreignSeen);
        }
        if (_inventory is { } inventory && !_reader.InTransaction && _reader.Position.Lsn >= inventory.At.Lsn)
        {
            _inventory = null;
            Compare(inventory);
        }
        while (!_reader.InTransaction && _looks.TryPeek(out var seen) && _reader.Position.Lsn >= seen.At!.Value.Lsn)
            JudgeCatalog(_looks.Dequeue());
    }

    async Task ControlAsync(ControlEntry control, BlockHeader header, CancellationToken stop)
    {
        switch (control)
        {
            case StreamOpened opened:
                Opened(opened, header);
                break;
            case Inventory inventory:
                _inventory = inventory;
                foreach (var table in inventory.Tables)
                    _tables!.Remember(table);
                break;
            case IdlePosition idle:
                _reader!.Idle(idle.At, idle.Time);
                break;
            case CatalogSeen seen:
                Set(Setting.Problems, string.Join('\n', seen.Problems));
                _setupUnusable = seen.SetupUnusable;
                if (seen.At is not null)
                    _looks.Enqueue(seen);
                else if (_looks.Count == 0)
                    _catalog!.Unchanged(seen);
                break;
            case SequencesSampled sampled:
                Sampled(sampled);
                break;
            default:
                throw new FormatViolationException($"the stream holds the unexpected control entry {control.GetType().Name}");
        }
        await Task.CompletedTask.WaitAsync(stop);
    }

    void Opened(StreamOpened opened, BlockHeader header)
    {
        _logger.StreamIsOpen(opened.Database, opened.ServerVersion, opened.StartedAt);
        var state = _vault.State;
        var gap = Durable is { } ends ? GapBefore(opened, header, ends) : null;
        if (gap is not null && Unlisted is { } never && never < Durable!.Value.Lsn)
            _pending.Gaps.Add(new Gap(GapScope.Database, 0, Durable.Value with { Lsn = never }, Durable, "its tables were never listed", _clock.GetUtcNow()));
        if (Durable is null || gap is not null)
            // What is listed lived at the stream's beginning, unless that is where the vault ends: there it is known that it did not.
            Set(Coverage.UnlistedFrom, (opened.StartedAt == Durable ? opened.StartedAt.Lsn : new Lsn(opened.StartedAt.Lsn.Value - 1)).ToString());
        _tables = new SourceTables(state, Unlisted ?? opened.StartedAt.Lsn);
        _reader = new EventReader(_tables, _events, _pending, new DefinitionOrder(state.Segments.Values.Select(segment => segment.MaxXid).DefaultIfEmpty().Max()),
            opened.StartedAt, gap is null ? state.CoveredTo?.Anchor : null);
        _schema = new SchemaDesk(state, opened.StartedAt, _options.SchemaQuiet);
        _origin = new SegmentOrigin(_vault.Identity.Id, VaultFormat.Current, _vault.Identity.SystemIdentifier, opened.StartedAt.Timeline);
        _answers.Reset(_epoch.Epoch, _origin);
        _foreignSeen = 0;
        if (gap is { } between)
            DatabaseGap(Durable!.Value, opened.StartedAt, between.Reason, between.OtherTables);
        ResumeBases();
        Set(Setting.DatabaseOid, header.DatabaseOid.ToString());
        Set(Setting.Incarnation, opened.Incarnation.ToString());
        if (opened.ServerRun is { } run)
            Set(Setting.ServerRun, run);
        Set(Setting.Database, opened.Database);
        Set(Setting.ServerVersion, opened.ServerVersion.ToString());
        if (Reductions.Change(state, opened.StartedAt, opened.Fidelity) is { } reductions)
            _pending.Settings[reductions.Key] = reductions.Value;
    }

    /// <returns>Why the stream does not continue what the vault holds, and whether its tables are others; null when it does.</returns>
    (string Reason, bool OtherTables)? GapBefore(StreamOpened opened, BlockHeader header, Position durable)
    {
        if (Changed(Setting.DatabaseOid, header.DatabaseOid.ToString()))
            return ("the database was replaced by another one", true);
        if (opened.StartedAt.Timeline != durable.Timeline)
            return (OtherTimeline(opened, durable), false);
        var anew = Changed(Setting.Incarnation, opened.Incarnation.ToString());
        if (!anew && opened.StartedAt.Lsn == durable.Lsn)
            return null;
        var reason = !anew ? $"the slot is at {opened.SlotAt}, the vault ends at {durable}"
            : opened.Renewed is { } why ? $"the slot was made anew: {why}" : "the slot was made anew";
        if (anew && opened.OtherHistory)
            return (reason, true);
        // Over a gap the stream proves nothing; but a server that runs on was not set back.
        return opened.ServerRun is { } run && _vault.State.Settings.GetValueOrDefault(Setting.ServerRun) == run ? (reason, false)
            : ($"{reason}; the server was started meanwhile, and cannot show that it was not set back", true);
    }

    /// <summary>Positions of the two do not compare: what is settled of the old one says nothing of the new.</summary>
    string OtherTimeline(StreamOpened opened, Position durable)
    {
        var (younger, left) = (opened.StartedAt.Timeline, opened.BranchedAt);
        var branch = Branches.Setting(younger, durable.Timeline, left);
        _pending.Settings[branch.Key] = branch.Value;
        if (left is { } end && _vault.State.SettledTo > end)
            _pending.SettledTo = end;
        return left is null ? $"the source is on timeline {younger} now; where it left timeline {durable.Timeline}, it does not say"
            : left < durable.Lsn ? $"the source is on timeline {younger} now, which left timeline {durable.Timeline} at {left}: what the vault holds beyond is not on it"
            : $"the source is on timeline {younger} now, which left timeline {durable.Timeline} at {left}";
    }

    /// <param name="otherTables">None of the tables is one that the vault knows, whatever its OID.</param>
    void DatabaseGap(Position after, Position from, string reason, bool otherTables)
    {
        _logger.GapOpened(GapScope.Database, 0, after, reason);
        _catalog!.Forget();
        _pending.Gaps.Add(new Gap(GapScope.Database, 0, after, null, reason, _clock.GetUtcNow()));
        if (_schema!.Changed(from, described: false, _clock.GetUtcNow()) is { } ended)
            _pending.Schemas.Add(ended with { Until = after });
        _pending.Settings[SchemaDesk.LastDdl] = from.Lsn.ToString();
        foreach (var relation in _vault.State.BaseChunks.Select(chunk => chunk.Relation).Distinct())
            VoidBase(relation);
        if (otherTables)
            _pending.Relations.AddRange(_tables!.EndAll(from.Lsn));
    }

    /// <summary>Where the stretch begins whose tables no listing has told yet; null when one has.</summary>
    Lsn? Unlisted => (_pending.Settings.TryGetValue(Coverage.UnlistedFrom, out var from) || _vault.State.Settings.TryGetValue(Coverage.UnlistedFrom, out from))
        && from.Length > 0 ? Lsn.Parse(from) : null;

    bool Changed(string setting, string value) =>
        _vault.State.Settings.TryGetValue(setting, out var known) && known != value;

    void Set(string setting, string value)
    {
        if (!_vault.State.Settings.TryGetValue(setting, out var known) || known != value)
            _pending.Settings[setting] = value;
    }

    /// <summary>Writes the rows of a large transaction before its end; the commit that names the segment comes at its end.</summary>
    async Task WriteOpenRowsAsync(CancellationToken stop)
    {
        _reader!.CompleteOpenRows();
        await WriteSegmentAsync(stop);
    }

    async Task WriteSegmentAsync(CancellationToken stop)
    {
        var rows = _events.CompleteRows;
        if (rows == 0)
            return;
        var day = (_reader?.Time ?? SourceTime.From(_clock.GetUtcNow())).ToDateTimeOffset();
        var path = _writer.NextLogPath(DateOnly.FromDateTime(day.UtcDateTime), _events[0].CommitLsn);
        var link = new SegmentLink(NewestLog());
        var said = SaidText.Encode([.. _writer.TakeSaid(), _pending.Peek()]);
        var entry = await SegmentPlacing.PlaceAsync(_vault.Medium, path,
            output => LogSegmentFile.WriteAsync(output, path, _events, rows, _origin!, ShapeOf, stop, link, said), stop);
        _pending.Settings[Setting.NewestLog] = entry.ContentHash.Hex;
        _events.DropFirst(rows);
        _pending.Segments.Add(entry);
    }

    /// <summary>Content hash of the log segment before the next: what links them where no commit is left.</summary>
    Sha256? NewestLog() =>
        (_pending.Settings.GetValueOrDefault(Setting.NewestLog) ?? _vault.State.Settings.GetValueOrDefault(Setting.NewestLog)) is { } hash
            ? new Sha256(hash) : null;

    RelationShape ShapeOf(int relation, int version) => _tables!.Shape(relation, version) ?? _vault.State.Shape(relation, version);

    /// <summary>Makes every complete transaction durable: segment, commit, then the slot may move.</summary>
    async Task FlushAsync(CancellationToken stop)
    {
        _lastFlush = _clock.GetUtcNow();
        if (_reader is null || !HasPending)
            return;
        if (_reader.HoldsCommit)
            // Its rows so far may stand behind complete ones: they wait for its end.
            return;
        await CommitAsync(stop);
    }

    /// <summary>A commit claims everything that was received: so what was received is written first.</summary>
    async Task CommitAsync(CancellationToken stop)
    {
        await WriteSegmentAsync(stop);
        var rows = _pending.Segments.Sum(segment => segment.Rows);
        if (_catalog?.Kept() is { } look)
            _pending.Settings[CatalogDesk.SettingName] = look;
        FailPoint.Hit(FailPoint.BeforeCommit);
        await _writer.CommitAsync(_pending.Take(new CoveredTo(_reader!.Position, _reader.Time) { Anchor = _reader.Anchor }), stop);
        FailPoint.Hit(FailPoint.BeforeConfirm);
        _lastCommit = _clock.GetUtcNow();
        _logger.Durable(_vault.State.Head, rows, _reader.Position);
        await _log.RequestAsync(new DurableAt(_epoch.Epoch, _reader.Position) { Anchor = _reader.Anchor }, stop);
    }
}

/// <summary>Names of the vault's settings that the archive keeps.</summary>
static class Setting
{
    public const string Incarnation = "incarnation";
    public const string DatabaseOid = "databaseOid";
    /// <summary>And a relation's number: the newest of its bases that is not to be gone on with.</summary>
    public const string VoidedBase = "voidedBase.";
    public const string Database = "database";
    /// <summary>Content hash of the newest log segment.</summary>
    public const string NewestLog = "newestLog";
    public const string ServerVersion = "serverVersion";
    /// <summary>The run of the server that the newest events are from.</summary>
    public const string ServerRun = "serverRun";
    /// <summary>What of the set-up in the source is missing or was changed, a line each.</summary>
    public const string Problems = "problems";
}
