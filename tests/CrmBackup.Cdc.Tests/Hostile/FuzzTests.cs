using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests.Salvage;
using CrmBackup.Cdc.Tests.Segments;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>Decoders meet bytes that nobody of us wrote: they read them or refuse them by name, with bounded memory, and nothing else.</summary>
public sealed class FuzzTests
{
    const long AllocatedMax = 256L << 20;

    [Fact]
    public void Blocks()
    {
        var builder = new BlockBuilder();
        foreach (var frame in Frames())
            builder.Add(frame);
        using var block = builder.Cut(new BlockHeader(BlockKind.Stream, 7, 5, 1, Guid.NewGuid(), 3, 0, Sha256.Of("x"u8), new Lsn(16), new Lsn(32), 0, 0, Last: false));
        Fuzz(Mutation.Rounds(4_000), [block.Bytes.ToArray()], (random, bytes) =>
        {
            // An enemy knows how to hash.
            if (bytes.Length > 32 && random.Next(4) > 0)
                Sha256.Of(bytes.AsSpan(..^32)).ToBytes().CopyTo(bytes.AsSpan(^32..));
            using var read = Block.Parse(bytes);
            foreach (var entry in read)
                _ = entry.Length;
        });
    }

    [Fact]
    public void Frames_of_pgoutput_and_what_the_archive_makes_of_them()
    {
        var frames = Frames();
        Fuzz(Mutation.Rounds(20_000), frames, (random, bytes) =>
        {
            var reader = new EventReader(new SourceTables(VaultState.Empty), new LogSegmentBuilder(), new PendingCommit(), new DefinitionOrder(0), new Position(1, new Lsn(0x10)));
            foreach (var frame in frames.Take(random.Next(frames.Count)))
                reader.Read(frame);
            reader.Read(bytes);
        });
    }

    [Fact]
    public void Tuples()
    {
        byte[][] tuples = [Given.Tuple("1", null, Given.Unchanged, new string('x', 500)), Given.Tuple(), Given.Tuple("a")];
        Fuzz(Mutation.Rounds(40_000), tuples, (_, bytes) => Given.Texts(bytes));
    }

    [Fact]
    public void Control_entries_and_requests()
    {
        byte[][] corpus =
        [
            new StreamOpened(Samples.At(1), Samples.At(1), 150020, "crm", Guid.NewGuid(), true, ["x"]).ToEntry(),
            new SequencesSampled(Samples.At(1), [new SequenceState("crm", "s", "1", true, "crm.accounts", 1)]).ToEntry(),
            new ReadBaseChunk(Guid.NewGuid(), 1, 16384, 0, 0, null, [["1", "a"]]).ToBytes(),
        ];
        Fuzz(Mutation.Rounds(8_000), corpus, (_, bytes) => ControlEntry.Parse(bytes));
        Fuzz(Mutation.Rounds(8_000), corpus, (_, bytes) => ArchiveRequest.Parse(bytes));
    }

    [Fact]
    public void Commits_and_everything_that_is_concluded_from_them()
    {
        var content = Samples.Everything(Samples.Segment("log/2026-11-22/a.parquet", [1]), Sha256.Of([5]));
        var head = new CommitHead(VaultFormat.Current, 1, Sha256.Zero, DateTimeOffset.UnixEpoch, new WriterIdentity(Guid.NewGuid(), 1, "here", 1));
        Fuzz(Mutation.Rounds(8_000), [CommitCodec.Encode(head, content), CommitCodec.Encode(head, new CommitContent())], (_, bytes) =>
        {
            var commit = CommitCodec.Parse(1, Checked(bytes));
            var state = VaultState.Empty.Apply(new CommitLink([], commit));
            var coverage = Coverage.Of(state);
            if (coverage.Latest is { } latest)
                RestorePlan.For(state, latest);
            coverage.Describe();
        });
    }

    [Fact]
    public async Task Checkpoints_schemas_and_what_segments_say()
    {
        using var vault = await LinkedVault.CreateAsync();
        var said = SaidText.Encode([Samples.Everything(Samples.Segment("log/a.parquet", [1]), Sha256.Of([5]))])!;
        Fuzz(Mutation.Rounds(4_000), [Encoding.UTF8.GetBytes(said)], (_, bytes) => SaidText.Decode(Encoding.UTF8.GetString(bytes)));
        var bundle = Directory.GetFiles(vault.PathOf("schema"), "bundle", SearchOption.AllDirectories).Select(File.ReadAllBytes).ToArray();
        Fuzz(Mutation.Rounds(4_000), bundle, (random, bytes) =>
        {
            if (bytes.Length > SchemaBundle.HeaderLength && random.Next(4) > 0)
            {
                BitConverter.TryWriteBytes(bytes.AsSpan(8), (long)bytes.Length - SchemaBundle.HeaderLength);
                Sha256.Of(bytes.AsSpan(SchemaBundle.HeaderLength)).ToBytes().CopyTo(bytes.AsSpan(16));
            }
            SchemaBundle.TryDecode(bytes, out var _);
        });
        var manifest = Directory.GetFiles(vault.PathOf("schema"), "manifest.json", SearchOption.AllDirectories).Select(File.ReadAllBytes).ToArray();
        Fuzz(Mutation.Rounds(4_000), manifest, (_, bytes) => SchemaStore.ParseManifest(bytes, "the manifest"));
        byte[] checkpoint;
        using (var zstd = new ZstdSharp.Compressor())
            checkpoint = zstd.Wrap(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(
                new { format = new { major = 1, minor = 0 }, identity = Sha256.Zero.Hex, state = new { head = 4 } })).ToArray();
        Fuzz(Mutation.Rounds(4_000), [checkpoint], (_, bytes) => CheckpointStore.Parse(4, bytes));
    }

    [Fact]
    public async Task Segments()
    {
        using var vault = await LinkedVault.CreateAsync();
        var segments = Directory.GetFiles(vault.Root, "*.parquet", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Select(File.ReadAllBytes).ToArray();
        Fuzz(Mutation.Rounds(300), segments, (_, bytes) =>
        {
            using var file = SegmentFile.OpenAlone(new MemoryStream(bytes), "the segment");
            var rows = file.Description.Kind == SegmentKind.Base
                ? file.ReadRows().Count() : file.ReadEvents().Count() + file.ReadTransactions().Count();
            Assert.True(rows < 1_000_000);
        });
    }

    static void Fuzz(int rounds, IReadOnlyList<byte[]> corpus, Action<Random, byte[]> decode)
    {
        for (var seed = 0; seed < rounds; seed++)
        {
            var random = new Random(seed);
            var bytes = Mutation.Of(random, corpus);
            var before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                decode(random, bytes);
            }
            catch (BackupException)
            {
                // Refused by name.
            }
            catch (Exception crash)
            {
                Assert.Fail($"seed {seed}: {crash.GetType().Name}: {crash.Message}\n{Convert.ToBase64String(bytes)}\n{crash.StackTrace}");
            }
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, AllocatedMax);
        }
    }

    /// <summary>With the check that a commit's line must end with.</summary>
    static byte[] Checked(byte[] bytes)
    {
        var field = ",\"check\":\""u8;
        var at = bytes.AsSpan().LastIndexOf(field);
        if (at < 0)
            return bytes;
        return [.. bytes.AsSpan(0, at), .. field, .. Encoding.ASCII.GetBytes(Sha256.Of(bytes.AsSpan(0, at)).Hex), .. "\"}\n"u8];
    }

    static List<byte[]> Frames() =>
    [
        Tests.Frames.Begin(700, 0x20), Tests.Frames.Relation(16400, "public", "accounts", ("id", 25, true), ("name", 25, false)),
        Tests.Frames.Insert(16400, "1", "Ann"), Tests.Frames.Update(16400, "1", "\u0001"), Tests.Frames.Truncate(16400),
        Tests.Frames.OwnMessage("""{"is":"mark","name":"noon","before":false}"""),
        Tests.Frames.OwnMessage("""{"is":"ddl","command":"DROP TABLE","tables":[],"dropped":[16400],"schemaChanged":true}"""),
        Tests.Frames.Commit(0x20, 0x30),
    ];
}
