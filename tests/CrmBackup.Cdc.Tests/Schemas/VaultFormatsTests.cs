using System.Text;
using System.Text.Json;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;
using ZstdSharp;

namespace CrmBackup.Cdc.Tests;

/// <summary>The formats as documented are the formats as written.</summary>
public sealed class VaultFormatsTests : IDisposable
{
    readonly TemporaryVault _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task Every_document_of_a_vault_follows_its_schema()
    {
        var schema = await WriteVaultAsync();

        Follows("vault.schema.json", await BytesAsync(VaultPath.Identity));
        foreach (var number in new[] { 1, 2, 3, 4, 6 })
            Follows("commit.schema.json", FirstLine(await BytesAsync(VaultPath.Commit(number))));
        Follows("schema-manifest.schema.json", await BytesAsync(VaultPath.SchemaFile(schema, SchemaManifest.FileName)));
        using var decompressor = new Decompressor();
        Follows("checkpoint.schema.json", decompressor.Unwrap(await BytesAsync(VaultPath.Checkpoint(3))));
        // The fields that come seldom were among them.
        Assert.Contains("\"checkpoint\"", Encoding.UTF8.GetString(await BytesAsync(VaultPath.Commit(4))));
        Assert.Contains("\"setAside\"", Encoding.UTF8.GetString(await BytesAsync(VaultPath.Commit(6))));
    }

    [Fact]
    public async Task A_schema_notices_what_is_wrong()
    {
        await WriteVaultAsync();
        var text = Encoding.UTF8.GetString(FirstLine(await BytesAsync(VaultPath.Commit(2))));

        NotFollows("commit.schema.json", text.Replace("\"number\":2", "\"number\":\"2\"", StringComparison.Ordinal));
        NotFollows("commit.schema.json", text.Replace("\"number\":2", "\"number\":0", StringComparison.Ordinal));
        NotFollows("commit.schema.json", text.Replace("\"prev\"", "\"previous\"", StringComparison.Ordinal));
        NotFollows("commit.schema.json", text.Replace("log/2026-11-22/a.parquet", "../a.parquet", StringComparison.Ordinal));
        NotFollows("commit.schema.json", text.Replace("\"Log\"", "\"Lag\"", StringComparison.Ordinal));
    }

    [Fact]
    public void Control_entries_and_requests_follow_their_schemas()
    {
        var table = new CatalogTable(
            16384, "crm", "accounts", 'r', 'p', ReplicaIdentity.Default, [1], 16390, 12,
            [new CatalogColumn(1, "id", 20, -1, "bigint", true, 'n', null), new CatalogColumn(2, "s", 25, -1, "text", false, 's', "x")]);
        ControlEntry[] entries =
        [
            new StreamOpened(Samples.At(1), Samples.At(1), 150020, "crm", Guid.NewGuid(), true, ["no event triggers"]),
            new Inventory(Samples.At(1), [table]),
            new IdlePosition(Samples.At(1), new SourceTime(1)),
            new SequencesSampled(Samples.At(1), [new SequenceState("crm", "s", "9223372036854775807", true, "crm.accounts", 1)]),
            new BaseChunkRead("739:745:740,742", table, Samples.At(2), 10),
            new SchemaDumped(Samples.At(1), Samples.At(2)),
            new CatalogSeen("739:745:740,742", new Lsn(1), Samples.At(1), "crmbackup_ddl_end 1 2 A", "12 -345", "6 7", [new TouchedTable(16384, [1, 2])], ["publication crmbackup was dropped"])
            {
                UnchangedTo = new Lsn(1), PublicationDamage = "publication crmbackup was dropped", SetupUnusable = true,
            },
            new CatalogSeen("739:745:", new Lsn(1), null, "", "0 0", "0 0", [], []),
            new StreamOpened(Samples.At(1), Samples.At(1), 150020, "crm", Guid.NewGuid(), true, []) { Renewed = "let go", BranchedAt = new Lsn(1) },
            new OrderFailed("dropped", OrderFailure.Gone),
        ];
        foreach (var entry in entries)
            Follows("block-control.schema.json", entry.ToEntry().AsSpan(1));
        ArchiveRequest[] requests =
        [
            new StartStream(Guid.NewGuid(), Guid.NewGuid(), ulong.MaxValue, Samples.At(1), Guid.NewGuid()),
            new StartStream(Guid.NewGuid(), Guid.NewGuid(), 1, null, null, "739:745:"),
            new DurableAt(Guid.NewGuid(), Samples.At(1)),
            new ReadBaseChunk(Guid.NewGuid(), 1, 16384, 0, 0, null, [["1", "a"]]),
            new ReadBaseChunk(Guid.NewGuid(), 1, 16384, 16390, 0, 100, null),
            new DumpSchema(Guid.NewGuid(), 2),
        ];
        foreach (var request in requests)
            Follows("archive-request.schema.json", request.ToBytes());
    }

    /// <summary>Commits: 1 open, 2 everything, 3 heavy (a checkpoint follows), 4 names it, 5 torn, 6 sets it
    /// aside.</summary>
    async Task<Sha256> WriteVaultAsync()
    {
        var vault = await _files.CreateAsync();
        var schema = await new SchemaStore(_files.Medium).PutAsync(new Dictionary<string, byte[]> { ["pre-data.sql"] = [1] }, default);
        using (var writer = await _files.WriterAsync(vault))
        {
            await writer.CommitAsync(Samples.Everything(Samples.Segment("log/2026-11-22/a.parquet", [1]), schema), default);
            await writer.CommitAsync(
                new CommitContent { Settings = new Dictionary<string, string> { ["filler"] = new('x', 300_000) } }, default);
            await writer.CommitAsync(new CommitContent { Remove = ["log/2026-11-22/a.parquet"] }, default);
        }
        await File.WriteAllTextAsync(_files.PathOf(VaultPath.Commit(5)), "{");
        (await _files.WriterAfterTheWaitAsync()).Dispose();
        return schema;
    }

    async Task<byte[]> BytesAsync(string path) => await File.ReadAllBytesAsync(_files.PathOf(path));

    static byte[] FirstLine(byte[] file) => file[..file.AsSpan().IndexOf((byte)'\n')];

    static void Follows(string schema, ReadOnlySpan<byte> json) => Assert.Empty(JsonSchemaFile.Load(schema).Problems(json));

    static void NotFollows(string schema, string json)
    {
        JsonDocument.Parse(json).Dispose();
        Assert.NotEmpty(JsonSchemaFile.Load(schema).Problems(Encoding.UTF8.GetBytes(json)));
    }
}
