using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Tests.Segments;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Tests;

/// <summary>A vault whose log tells of a working day and its disaster:
/// <code>
///  lsn 0/100  09:00  covered from here: bases of accounts (1) and contacts (2)
///  0/200 09:10 xid 700: 3 accounts inserted         0/300 09:20 xid 701: 1 account updated, 1 contact inserted
///  0/400 09:30 xid 702: 500 contacts deleted        0/500 09:31 xid 703: TRUNCATE accounts
///  0/600 09:32 xid 704: DROP TABLE, mark "evening"  covered to 0/700, 09:40
/// </code></summary>
sealed class VaultWithHistory : IDisposable
{
    readonly TemporaryVault _folder = new();

    public string Root => _folder.Root;

    public static async Task<VaultWithHistory> CreateAsync()
    {
        var made = new VaultWithHistory();
        await made.FillAsync();
        return made;
    }

    public static SourceTime At(int hour, int minute) => SourceTime.From(new DateTimeOffset(2026, 11, 22, hour, minute, 0, TimeSpan.Zero));

    public void Dispose() => _folder.Dispose();

    async Task FillAsync()
    {
        // An identity of its own: this machine remembers the heads of vaults.
        var vault = await BackupVault.CreateAsync(_folder.Medium, TemporaryVault.Identity with { Id = Guid.NewGuid() }, default);
        // Of this machine: a verb would wait for an archive elsewhere to answer.
        using var writer = await _folder.WriterAsync(vault, Environment.MachineName);
        var accounts = Given.Shape(1, 1, ("id", "bigint"), ("name", "text")) with { Name = "accounts" };
        var contacts = Given.Shape(2, 1, ("id", "bigint"), ("name", "text")) with { Name = "contacts" };
        await writer.CommitAsync(new CommitContent
        {
            Relations = [accounts, contacts],
            Bases = [new(1, 1, new(1, new(0x100))), new(2, 1, new(1, new(0x100)))],
            CoveredTo = new(new(1, new(0x100)), At(9, 0)),
        }, default);
        var morning = new LogSegmentBuilder();
        Transaction(morning, 0x200, At(9, 10), 700, Enumerable.Range(0, 3).Select(_ => (EventKind.Insert, 1)));
        Transaction(morning, 0x300, At(9, 20), 701, [(EventKind.Update, 1), (EventKind.Insert, 2)]);
        await CommitAsync(writer, morning, 0x300, At(9, 20), [accounts, contacts]);
        var disaster = new LogSegmentBuilder();
        Transaction(disaster, 0x400, At(9, 30), 702, Enumerable.Range(0, 500).Select(_ => (EventKind.Delete, 2)));
        Transaction(disaster, 0x500, At(9, 31), 703, [(EventKind.Truncate, 1)]);
        Transaction(disaster, 0x600, At(9, 32), 704, [(EventKind.Message, 0), (EventKind.Message, -1)]);
        await CommitAsync(writer, disaster, 0x700, At(9, 40), [accounts, contacts],
            new Mark("evening", new(1, new(0x600)), false, At(9, 32), 704));
    }

    static void Transaction(LogSegmentBuilder log, ulong lsn, SourceTime time, ulong xid, IEnumerable<(EventKind Kind, int Relation)> events)
    {
        var first = log.Rows;
        foreach (var (kind, relation) in events)
        {
            var tuple = kind == EventKind.Message
                ? Given.Tuple("crmbackup", new string('0', 64) + (relation == 0
                    ? """ 0 {"is":"ddl","command":"DROP TABLE","tables":[{"name":"x"}],"dropped":[1],"schemaChanged":true}"""
                    : """ 1 {"is":"mark","name":"evening","before":false}"""))
                : Given.Tuple("1", "Ada");
            var isOld = kind is EventKind.Delete or EventKind.Truncate;
            log.Add(kind, Math.Max(relation, 0), relation > 0 ? 1 : 0, xid, log.Rows - first,
                kind == EventKind.Delete ? OldTupleKind.Key : OldTupleKind.None, kind == EventKind.Delete ? tuple : default, isOld ? default : tuple);
        }
        log.CompleteTransaction(first, new Lsn(lsn), time);
    }

    async Task CommitAsync(
        VaultWriter writer, LogSegmentBuilder log, ulong covered, SourceTime time, IReadOnlyList<RelationShape> shapes, params Mark[] marks)
    {
        var path = writer.NextLogPath(new DateOnly(2026, 11, 22), new Lsn(covered));
        var temporary = _folder.Medium.NewTemporaryPath("log");
        SegmentEntry entry;
        await using (var output = File.Create(temporary))
            entry = await LogSegmentFile.WriteAsync(output, path, log, log.CompleteRows, Given.Origin with { Timeline = 1 },
                (number, _) => shapes[number - 1], default);
        await _folder.Medium.PublishAsync(temporary, path, default);
        await writer.CommitAsync(new CommitContent { Add = [entry], Marks = marks, CoveredTo = new(new(1, new(covered)), time) }, default);
    }
}
