using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests.Salvage;
using CrmBackup.Cdc.Tests.Segments;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>Makes the corpus of blocks, commits and segments by the product's own writers: for the day when a format changes. What a server
/// sends (<c>corpus/pgoutput/server-*</c>) was recorded from one, by pg_logical_slot_get_binary_changes.</summary>
static class RealBytes
{
    public const string Verb = "fuzz-corpus";

    public static async Task<int> WriteAsync()
    {
        foreach (var target in FuzzTarget.All)
            foreach (var (name, bytes) in await OfAsync(target))
                Console.WriteLine(FuzzCorpus.Keep(target, name, bytes));
        return 0;
    }

    static async Task<IReadOnlyList<(string Name, byte[] Bytes)>> OfAsync(FuzzTarget target) => target switch
    {
        BlockTarget => Blocks(),
        PgOutputTarget => [("entries", PgOutputTarget.Bytes(Entries()))],
        CommitTarget => await CommitsAsync(),
        SegmentTarget => await SegmentsAsync(),
        _ => throw new ArgumentOutOfRangeException(nameof(target), target.Name, "has no real bytes"),
    };

    static List<(string, byte[])> Blocks()
    {
        var at = Samples.At(1);
        var table = new CatalogTable(16384, "crm", "accounts", 'r', 'p', ReplicaIdentity.Default, [1], 16390, 12,
            [new CatalogColumn(1, "id", 20, -1, "bigint", true, 'n', null), new CatalogColumn(2, "s", 25, -1, "text", false, 's', "x")]);
        return
        [
            ("stream", Cut(BlockKind.Stream, [.. Entries()])),
            ("opening", Cut(BlockKind.Stream,
                new StreamOpened(at, at, 150020, "crm", Guid.Empty, true, ["no event triggers"]).ToEntry(), new Inventory(at, [table]).ToEntry(),
                new IdlePosition(at, new SourceTime(1)).ToEntry(),
                new SequencesSampled(at, [new SequenceState("crm", "s", "1", true, "crm.accounts", 1)]).ToEntry(),
                new CatalogSeen("739:745:740", new Lsn(1), at, "triggers", "1 2", "3 4", [new TouchedTable(16384, [1, 2])], ["gone"]).ToEntry())),
            ("answer", Cut(BlockKind.Answer,
                [EntryType.CopyRows, .. "1\tAnn\\n\n2\t\\N\n"u8], [EntryType.FilePart, 12, .. "pre-data.sqlCREATE TABLE x ();"u8],
                new BaseChunkRead("739:745:740,742", table, at, 2).ToEntry())),
            ("order-failed", Cut(BlockKind.Answer, new SchemaDumped(at, at).ToEntry(), new OrderFailed("dropped", OrderFailure.Gone).ToEntry())),
            ("empty", Cut(BlockKind.Stream)),
        ];
    }

    static byte[] Cut(BlockKind kind, params byte[][] entries)
    {
        var builder = new BlockBuilder();
        foreach (var entry in entries)
            builder.Add(entry);
        using var block = builder.Cut(new BlockHeader(kind, 7, 5, 1, Guid.Empty, 3, kind == BlockKind.Answer ? 9UL : 0, Sha256.Of("x"u8), new Lsn(16), new Lsn(32), 0, 0, Last: false));
        return block.Bytes.ToArray();
    }

    static List<byte[]> Entries() =>
    [
        Frames.Begin(700, 0x20), Frames.Written(0x18), Frames.Relation(16400, "public", "accounts", ("id", 25, true), ("name", 25, false)),
        Frames.Insert(16400, "1", "Ann"), Frames.Update(16400, "1", "\u0001"), Frames.Insert(16400, null, ""), Frames.Truncate(16400),
        Frames.OwnMessage("""{"is":"mark","name":"noon","before":false}"""),
        Frames.OwnMessage("""{"is":"ddl","command":"DROP TABLE","tables":[],"dropped":[16400],"schemaChanged":true}"""),
        Frames.Commit(0x20, 0x30), Frames.Begin(701, 0x40, 0x50), Frames.Insert(16400, "2", "Bob"), Frames.Commit(0x40, 0x50),
    ];

    static async Task<List<(string, byte[])>> CommitsAsync()
    {
        using var linked = await LinkedVault.CreateAsync();
        var everything = Samples.Everything(Samples.Segment("log/2026-11-22/a.parquet", [1]), Sha256.Of([5]));
        var head = new CommitHead(VaultFormat.Current, 1, Sha256.Zero, DateTimeOffset.UnixEpoch, new WriterIdentity(Guid.Empty, 1, "here", 1));
        using var key = SigningKey.New();
        return
        [
            ("everything", CommitCodec.Encode(head, everything)),
            ("signed", CommitCodec.Encode(head, everything, key)),
            ("empty", CommitCodec.Encode(head, new CommitContent())),
            ("parity", CommitCodec.Encode(head, new CommitContent { Parity = new ParityContent
            {
                Groups = [new ParityGroup("00000001-x", 65536, [File("tables/a.parquet"), File("parity/00000001-x.pack")], [File("parity/00000001-x-00.parity")])],
                Packs = [new ParityPack("parity/00000001-x.pack", 1, 1, [Sha256.Zero])],
                Remove = [],
            } })),
            ("history", [.. Directory.GetFiles(linked.PathOf("commits"), "*.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal).SelectMany(System.IO.File.ReadAllBytes)]),
        ];
    }

    static ParityFile File(string path) => new(path, 10, Sha256.Zero);

    static async Task<List<(string, byte[])>> SegmentsAsync()
    {
        using var linked = await LinkedVault.CreateAsync();
        var found = new List<(string, byte[])>();
        foreach (var kind in new[] { "log", "base", "changes" })
            foreach (var (i, file) in Directory.GetFiles(linked.Root, "*.parquet", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
                .Where(file => file.Contains($"/{kind}/", StringComparison.Ordinal)).Take(2).Index())
                found.Add(($"{kind}-{i + 1}", await System.IO.File.ReadAllBytesAsync(file)));
        var types = TypedSegmentTests.Types.Select(row => ((string)row[0], (string[])row[1], (string[])row[2])).ToList();
        var shape = Given.Shape(4, 2, [("id", "bigint"), .. types.Select((type, i) => ($"v{i}", type.Item1))]);
        // Of the long values the shape is enough.
        var tuples = Enumerable.Range(0, 12).Select(row => Given.Tuple([$"{row}", .. types.Select(type =>
            type.Item2.Concat(type.Item3).ElementAtOrDefault(row) is { Length: < 1000 } value ? value : null)])).ToList();
        found.Add(("base-types", Written.Base(shape, tuples).Bytes));
        found.Add(("changes-types", Written.Changes(shape, tuples.Select((tuple, i) => new ChangeEvent(
            new Lsn(0x100), new SourceTime(i), 700, i, i % 3 == 2 ? EventKind.Delete : i % 3 == 1 ? EventKind.Update : EventKind.Insert, 4, 2,
            i % 3 == 2 ? OldTupleKind.Full : OldTupleKind.None, i % 3 == 2 ? tuple : default, i % 3 == 2 ? default : tuple))).Bytes));
        return found;
    }
}
