using System.Diagnostics;
using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A vault written step by step from a real source's COPY, pg_dump and pgoutput, without capture and archive: so a restore is
/// tested against exactly what stands in it. The source must be quiet while a step is taken.</summary>
sealed class HandMadeVault : IAsyncDisposable
{
    readonly SourceDatabase _source;
    readonly PostgresServer _server;
    readonly string _folder;
    readonly VaultWriter _writer;
    readonly SegmentOrigin _origin;
    readonly string _slot;
    readonly Dictionary<uint, RelationShape> _shapes = [];

    HandMadeVault(SourceDatabase source, PostgresServer server, string folder, BackupVault vault, VaultWriter writer, string slot)
    {
        (_source, _server, _folder, Vault, _writer, _slot) = (source, server, folder, vault, writer, slot);
        _origin = new SegmentOrigin(vault.Identity.Id, VaultFormat.Current, vault.Identity.SystemIdentifier, 1);
    }

    public BackupVault Vault { get; }

    /// <summary>Prepares the source, reads its base and schema.</summary>
    public static async Task<HandMadeVault> CreateAsync(SourceDatabase source, PostgresServer server, string? badStatement = null)
    {
        var id = Guid.NewGuid();
        await source.InitAsync(new SetupOptions { Vault = id });
        var folder = Directory.CreateTempSubdirectory("crmbackup-restore-").FullName;
        var system = ulong.Parse(await source.AskAsync<string>("SELECT system_identifier::text FROM pg_control_system()"));
        var vault = await BackupVault.CreateAsync(DirectoryMedium.CreateRoot(Path.Combine(folder, "vault")),
            new VaultIdentity(id, VaultFormat.Current, system, source.Name, DateTimeOffset.UtcNow), default);
        var writer = await VaultWriter.OpenAsync(vault, TimeProvider.System, "test", 1, default);
        var slot = await source.AskAsync<string>("SELECT value FROM crmbackup.settings WHERE key = 'slot'");
        var made = new HandMadeVault(source, server, folder, vault, writer, slot);
        await made.TakeBaseAsync(badStatement);
        return made;
    }

    public async Task<Lsn> NowAsync() => Lsn.Parse(await _source.AskAsync<string>("SELECT pg_current_wal_insert_lsn()::text"));

    async Task TakeBaseAsync(string? badStatement)
    {
        var tables = await TableCatalog.ReadAsync(_source.Ours, default);
        var content = new CommitContent();
        var snapshot = await _source.AskAsync<string>("SELECT pg_current_snapshot()::text");
        var at = new Position(1, await NowAsync());
        foreach (var table in tables)
        {
            var shape = table.ToShape(_shapes.Count + 1, 1, at.Lsn);
            _shapes.Add(table.Oid, shape);
            var chunk = new BaseChunk(shape.Number, 1, 0, snapshot, 1, 0, null, false, 0);
            var segment = await BaseSegmentAsync(shape, chunk);
            content = content with
            {
                Relations = [.. content.Relations, shape],
                Add = segment is null ? content.Add : [.. content.Add, segment],
                BaseChunks = [.. content.BaseChunks, chunk with { Rows = segment?.Rows ?? 0 }],
                Bases = [.. content.Bases, new BaseComplete(shape.Number, 1, at)],
            };
        }
        var files = new Dictionary<string, byte[]>
        {
            ["pre-data.sql"] = await DumpAsync("pre-data"),
            ["post-data.sql"] = [.. await DumpAsync("post-data"), .. Encoding.UTF8.GetBytes(badStatement ?? "")],
        };
        var hash = await new SchemaStore(Vault.Medium).PutAsync(files, default);
        // What lies between the slot's start and the base is in the base.
        await ChangesAsync();
        await _writer.CommitAsync(content with
        {
            Schemas = [new SchemaVersion(hash, at, null)],
            Sequences = [await SampleAsync(at)],
            CoveredTo = new CoveredTo(at, SourceTime.From(DateTimeOffset.UtcNow)),
        }, default);
    }

    /// <summary>Everything that happened since becomes a log segment.</summary>
    public async Task TakeStreamAsync()
    {
        var builder = await ChangesAsync();
        var at = new Position(1, await NowAsync());
        var add = new List<SegmentEntry>();
        if (builder.Rows > 0)
        {
            var path = _writer.NextLogPath(new DateOnly(2026, 11, 22), builder[0].CommitLsn);
            add.Add(await WriteAsync(path, stream => LogSegmentFile.WriteAsync(stream, path, builder, builder.Rows, _origin,
                (number, _) => _shapes.Values.Single(shape => shape.Number == number), default)));
        }
        await _writer.CommitAsync(new CommitContent
        {
            Add = add,
            Sequences = [await SampleAsync(at)],
            CoveredTo = new CoveredTo(at, SourceTime.From(DateTimeOffset.UtcNow)),
        }, default);
    }

    /// <summary>Everything that happened since is lost, and nothing says so: what verification is there to find.</summary>
    public async Task LoseStreamAsync()
    {
        await ChangesAsync();
        await _writer.CommitAsync(new CommitContent { CoveredTo = new CoveredTo(new Position(1, await NowAsync()), null) }, default);
    }

    async Task<LogSegmentBuilder> ChangesAsync()
    {
        var builder = new LogSegmentBuilder();
        await using var command = new NpgsqlCommand("""
            SELECT xid::text::bigint, data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', (SELECT string_agg(value, ',' ORDER BY key DESC) FROM crmbackup.settings WHERE key IN ('publication', 'changesPublication')))
            """, _source.Ours)
        { Parameters = { new() { Value = _slot } } };
        await using var reader = await command.ExecuteReaderAsync();
        var (first, ordinal) = (0, 0);
        while (await reader.ReadAsync())
        {
            var frame = (byte[])reader[1];
            var xid = (ulong)reader.GetInt64(0);
            switch (frame[0])
            {
                case PgOutputFrame.Begin:
                    (first, ordinal) = (builder.Rows, 0);
                    break;
                case PgOutputFrame.Insert or PgOutputFrame.Update or PgOutputFrame.Delete:
                    var row = RowFrame.Parse(frame);
                    if (_shapes.TryGetValue(row.Oid, out var shape))
                        builder.Add(row.Kind, shape.Number, 1, xid, ordinal++, row.OldKind, row.OldTuple, row.NewTuple);
                    break;
                case PgOutputFrame.Truncate:
                    foreach (var oid in TruncateFrame.Parse(frame).Oids.Where(_shapes.ContainsKey))
                        builder.Add(EventKind.Truncate, _shapes[oid].Number, 1, xid, ordinal++, OldTupleKind.None, default, default);
                    break;
                case PgOutputFrame.Commit when builder.Rows > first:
                    var commit = CommitFrame.Parse(frame);
                    builder.CompleteTransaction(first, commit.End, commit.Time);
                    break;
            }
        }
        return builder;
    }

    async Task<SegmentEntry?> BaseSegmentAsync(RelationShape shape, BaseChunk chunk)
    {
        var lines = new List<byte[]>();
        var select = TableDump.Select(shape.Schema, shape.Name, shape.Columns.Select(column => column.Name));
        await foreach (var line in TableDump.LinesAsync(_source.Ours, select, default))
            lines.Add(line.ToArray());
        if (lines.Count == 0)
            return null;
        var path = _writer.NextTablePath(shape, SegmentKind.Base, new DateOnly(2026, 11, 22));
        return await WriteAsync(path, stream =>
        {
            var tuple = new TupleWriter();
            using var writer = new BaseSegmentWriter(stream, shape, _origin);
            foreach (var line in lines)
                writer.AddRow(CopyTextRow.ToTuple(line, shape.Columns.Count, tuple));
            return Task.FromResult(writer.Complete(path, chunk with { Rows = lines.Count }));
        });
    }

    async Task<SegmentEntry> WriteAsync(string path, Func<Stream, Task<SegmentEntry>> write)
    {
        var temporary = Vault.Medium.NewTemporaryPath("segment");
        SegmentEntry entry;
        await using (var file = new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite))
            entry = await write(file);
        await Vault.Medium.PublishAsync(temporary, path, default);
        return entry;
    }

    async Task<SequenceSample> SampleAsync(Position at)
    {
        var states = new List<SequenceState>();
        await using var command = new NpgsqlCommand(
            "SELECT schemaname, sequencename, coalesce(last_value, start_value)::text, last_value IS NOT NULL FROM pg_sequences", _source.Ours);
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync())
            states.Add(new SequenceState(reader.GetString(0), reader.GetString(1), reader.GetString(2), reader.GetBoolean(3)));
        return new SequenceSample(at, states);
    }

    async Task<byte[]> DumpAsync(string section)
    {
        var connection = new NpgsqlConnectionStringBuilder(_source.ConnectionString);
        using var process = Process.Start(new ProcessStartInfo(Path.Combine(_server.BinDirectory, "pg_dump"),
            ["-s", $"--section={section}", "--exclude-schema=crmbackup", "-h", connection.Host!, "-p", $"{connection.Port}", "-U", connection.Username!, _source.Name])
        { RedirectStandardOutput = true })!;
        var text = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"pg_dump ended with {process.ExitCode}");
        return Encoding.UTF8.GetBytes(string.Join('\n', text.Split('\n').Where(line => !line.StartsWith('\\'))));
    }

    public ValueTask DisposeAsync()
    {
        _writer.Dispose();
        Directory.Delete(_folder, recursive: true);
        return ValueTask.CompletedTask;
    }
}
