using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests.Segments;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;

namespace CrmBackup.Cdc.Tests.Salvage;

/// <summary>A vault as the archive writes it: bases, linked log segments, some of them settled and pruned, and everything that commits
/// say beside them.
/// <code>
///  bases of accounts (1) and contacts (2)   logs 1 2 3 → settled      logs 4 5 6       base of accounts anew      logs 7 8
/// </code></summary>
sealed class LinkedVault : IDisposable
{
    public static readonly RelationShape Accounts = Given.Shape(1, 1, ("id", "bigint"), ("name", "text")) with { Name = "accounts" };
    public static readonly RelationShape Contacts = Given.Shape(2, 1, ("id", "bigint"), ("born", "timestamp with time zone")) with { Name = "contacts" };

    readonly TemporaryVault _folder = new(Directory.Exists("/dev/shm") ? "/dev/shm" : null);
    readonly List<ChangeEvent> _events = [];
    readonly List<SegmentEntry> _logs = [];
    VaultWriter _writer = null!;
    Sha256? _before;
    ulong _lsn = 0x1000;
    ulong _xid = 700;

    public string Root => _folder.Root;
    public DirectoryMedium Medium => _folder.Medium;
    public IReadOnlyList<ChangeEvent> Events => _events;
    public IReadOnlyList<SegmentEntry> Logs => _logs;
    public VaultState State { get; private set; } = VaultState.Empty;
    public Guid Id { get; } = Guid.NewGuid();

    SegmentOrigin Origin => new(Id, VaultFormat.Current, TemporaryVault.Identity.SystemIdentifier, 1);

    public static async Task<LinkedVault> CreateAsync(bool prune = true)
    {
        var made = new LinkedVault();
        await made.FillAsync(prune);
        return made;
    }

    async Task FillAsync(bool prune)
    {
        var vault = await BackupVault.CreateAsync(_folder.Medium, TemporaryVault.Identity with { Id = Id }, default);
        var schema = await new SchemaStore(_folder.Medium).PutAsync(
            new Dictionary<string, byte[]> { ["pre-data.sql"] = "CREATE TABLE accounts"u8.ToArray(), ["post-data.sql"] = [] }, default);
        using (_writer = await _folder.WriterAsync(vault))
        {
            var accounts = await BaseAsync(Accounts, 1, ("1", "Ada"), ("2", "Bob"));
            var contacts = await BaseAsync(Contacts, 1, ("1", "2026-11-22 10:00:00+00"));
            await _writer.CommitAsync(new CommitContent { Relations = [Accounts, Contacts] }, default);
            await _writer.CommitAsync(new CommitContent { Add = [accounts.Entry, contacts.Entry], BaseChunks = [accounts.Chunk, contacts.Chunk] }, default);
            await LogAsync(new CommitContent { Bases = [new(1, 1, At(_lsn)), new(2, 1, At(_lsn))], Schemas = [new SchemaVersion(schema, At(_lsn), null)] });
            await LogAsync(new CommitContent { Marks = [new Mark("noon", At(_lsn + 8), false, new SourceTime(5), _xid)] });
            await LogAsync(new CommitContent { Sequences = [new SequenceSample(At(_lsn), [new SequenceState("public", "accounts_id_seq", "2", true)])] });
            var job = new SettleJob(_folder.Medium, TemporaryVault.Identity with { Id = Id }, new SettleLimits(), NullLogger.Instance);
            await _writer.CommitAsync(await job.RunAsync(new SettlePlan(1, [.. _logs], _logs[^1].Last), (number, _) => number == 1 ? Accounts : Contacts, "00000001-job", default), default);
            foreach (var settled in prune ? _logs : [])
                File.Delete(_folder.PathOf(settled.Path));
            await LogAsync(new CommitContent { Settings = new Dictionary<string, string> { ["database"] = "crm" } });
            await LogAsync(new CommitContent());
            await LogAsync(new CommitContent { Gaps = [new Gap(GapScope.Relation, 1, At(_lsn), null, "rewritten", DateTimeOffset.UnixEpoch)] });
        }
        // Another process goes on: its first segment says everything again.
        using (_writer = await _folder.WriterAsync(vault))
        {
            var again = await BaseAsync(Accounts, 2, ("1", "Ada L."));
            await _writer.CommitAsync(new CommitContent { Add = [again.Entry], BaseChunks = [again.Chunk] }, default);
            await LogAsync(new CommitContent { Bases = [new(1, 2, At(_lsn))] });
            await LogAsync(new CommitContent());
            State = _writer.State;
        }
    }

    Position At(ulong lsn) => new(1, new Lsn(lsn));

    async Task<(SegmentEntry Entry, BaseChunk Chunk)> BaseAsync(RelationShape shape, int baseId, params (string, string)[] rows)
    {
        var chunk = new BaseChunk(shape.Number, baseId, 0, $"{_xid}:{_xid}:", 1, 0, null, false, rows.Length) { Barrier = new Lsn(_lsn) };
        var path = _writer.NextTablePath(shape, SegmentKind.Base, new DateOnly(2026, 11, 22));
        return (await PlaceAsync(path, output =>
        {
            using var writer = new BaseSegmentWriter(output, shape, Origin);
            foreach (var (id, value) in rows)
                writer.AddRow(Given.Tuple(id, value));
            return Task.FromResult(writer.Complete(path, chunk));
        }), chunk);
    }

    /// <summary>One flush with four transactions.</summary>
    async Task LogAsync(CommitContent content)
    {
        var log = new LogSegmentBuilder();
        for (var i = 0; i < 4; i++)
        {
            var first = log.Rows;
            log.Add(EventKind.Insert, 1, 1, _xid, 0, OldTupleKind.None, default, Given.Tuple($"{_xid}", "new"));
            if (i % 2 == 0)
                log.Add(EventKind.Insert, 2, 1, _xid, 1, OldTupleKind.None, default, Given.Tuple($"{_xid}", "infinity"));
            if (i == 3)
                log.Add(EventKind.Message, 0, 0, _xid, 2, OldTupleKind.None, default, Given.Tuple("crmbackup", "{}"));
            log.CompleteTransaction(first, new Lsn(_lsn += 0x10), new SourceTime(1_795_000_000_000_000 + (long)_lsn));
            _xid++;
        }
        _events.AddRange(Enumerable.Range(0, log.Rows).Select(row => Given.Kept(log[row])));
        var path = _writer.NextLogPath(new DateOnly(2026, 11, 22), log[0].CommitLsn);
        var said = SaidText.Encode([.. _writer.TakeSaid(), content]);
        var entry = await PlaceAsync(path, output => LogSegmentFile.WriteAsync(
            output, path, log, log.Rows, Origin, (number, _) => number == 1 ? Accounts : Contacts, default, new SegmentLink(_before), said));
        _before = entry.ContentHash;
        _logs.Add(entry);
        await _writer.CommitAsync(content with { Add = [entry], CoveredTo = new CoveredTo(At(_lsn), log[log.Rows - 1].CommitTime) }, default);
    }

    async Task<SegmentEntry> PlaceAsync(string path, Func<Stream, Task<SegmentEntry>> write)
    {
        var temporary = _folder.Medium.NewTemporaryPath("segment");
        SegmentEntry entry;
        await using (var output = File.Create(temporary))
            entry = await write(output);
        await _folder.Medium.PublishAsync(temporary, path, default);
        return entry;
    }

    public string PathOf(string path) => _folder.PathOf(path);

    public void DeleteCommits()
    {
        Directory.Delete(PathOf("commits"), recursive: true);
        if (Directory.Exists(PathOf("checkpoints")))
            Directory.Delete(PathOf("checkpoints"), recursive: true);
    }

    /// <summary>Every event of a vault, in commit order, each once.</summary>
    public static List<ChangeEvent> EventsOf(BackupVault vault)
    {
        var events = new List<ChangeEvent>();
        foreach (var segment in TargetResolution.EventSegments(vault.State))
        {
            using var file = SegmentFile.OpenVerified(vault.Medium.OpenRead(segment.Path), segment);
            events.AddRange(file.ReadEvents().Select(Given.Kept));
        }
        return [.. events.OrderBy(change => change.CommitLsn).ThenBy(change => change.Ordinal)];
    }

    public void Dispose() => _folder.Dispose();
}
