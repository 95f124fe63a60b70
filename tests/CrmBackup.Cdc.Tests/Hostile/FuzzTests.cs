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

    public static TheoryData<string> Targets => [.. FuzzTarget.All.Select(target => target.Name)];

    /// <summary>The kept corpus, where every input that ever failed stays, and some mutations of it; tests/soak.sh --fuzz makes more.</summary>
    [Theory, MemberData(nameof(Targets))]
    public void Decoders_read_or_refuse_what_was_kept_and_its_mutations(string name)
    {
        var target = FuzzTarget.All.Single(target => target.Name == name);
        foreach (var (file, bytes) in FuzzCorpus.Of(target))
            Assert.Equal((file, null), (file, Fuzzer.Failure(target, bytes)));
        var result = Fuzzer.Run(target, firstSeed: 0, Mutation.Rounds(target.UsualRounds), limit: null);
        Assert.True(result.Failures.Count == 0, string.Join('\n', result.Failures.Select(failure => $"seed {failure.Seed}: {failure.What}")));
        // A corpus that is refused as a whole shows nothing.
        Assert.InRange(result.Refused, 1, result.Inputs - 1);
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
}
