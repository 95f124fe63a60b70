using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using DuckDB.NET.Data;
using Microsoft.Extensions.Logging.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Sql;

/// <summary>A vault written by the real writers, settled, and opened as an analyst would: with DuckDB and the printed script.</summary>
sealed class AnalystsVault : IDisposable
{
    static readonly VaultIdentity Identity =
        new(Guid.Parse("00000000-0000-0000-0000-0000000000aa"), VaultFormat.Current, 7_000_000_000_000_000_001, "crm", DateTimeOffset.UnixEpoch);

    readonly DirectoryMedium _medium = DirectoryMedium.CreateRoot(Path.Combine(Path.GetTempPath(), $"views-test-{Guid.NewGuid():N}"));
    readonly DuckDBConnection _duck = new("DataSource=:memory:");
    BackupVault _vault = null!;
    VaultWriter _writer = null!;

    public string Root => _medium.Location;

    public string Script { get; private set; } = "";

    public static SourceTime Start { get; } = new(1_795_000_000_000_000);

    public static async Task<AnalystsVault> CreateAsync()
    {
        var made = new AnalystsVault();
        made._vault = await BackupVault.CreateAsync(made._medium, Identity, default);
        made._writer = await VaultWriter.OpenAsync(made._vault, TimeProvider.System, "here", 1, default);
        return made;
    }

    static SegmentOrigin Origin => new(Identity.Id, VaultFormat.Current, Identity.SystemIdentifier, 1);

    public Task CommitAsync(CommitContent content) => _writer.CommitAsync(content, default);

    /// <summary>Each chunk with its rows becomes a base segment; empty ones none.</summary>
    public async Task BaseAsync(RelationShape shape, int baseId, Lsn from, params (string Snapshot, IReadOnlyList<byte[]> Rows)[] chunks)
    {
        var (segments, facts) = (new List<SegmentEntry>(), new List<BaseChunk>());
        for (var i = 0; i < chunks.Length; i++)
        {
            var chunk = new BaseChunk(shape.Number, baseId, i, chunks[i].Snapshot, shape.Version, i, null, Keys: i > 0 && i == chunks.Length - 1, chunks[i].Rows.Count);
            facts.Add(chunk);
            if (chunk.Rows > 0)
                segments.Add(await PlaceAsync(_writer.NextTablePath(shape, SegmentKind.Base, new DateOnly(2026, 11, 22)), (output, path) =>
                {
                    using var writer = new BaseSegmentWriter(output, shape, Origin);
                    foreach (var row in chunks[chunk.Chunk].Rows)
                        writer.AddRow(row);
                    return Task.FromResult(writer.Complete(path, chunk));
                }));
        }
        await CommitAsync(new CommitContent { Add = segments, BaseChunks = facts, Bases = [new BaseComplete(shape.Number, baseId, new Position(1, from))] });
    }

    /// <summary>Events in commit order, one log segment.</summary>
    public async Task LogAsync(IReadOnlyList<ChangeEvent> events, IReadOnlyList<RelationShape> shapes, Lsn covered, SourceTime? time = null)
    {
        var log = new LogSegmentBuilder();
        foreach (var transaction in events.GroupBy(change => change.CommitLsn))
        {
            var first = log.Rows;
            foreach (var change in transaction)
                log.Add(change.Kind, change.Relation, change.Shape, change.Xid, change.Ordinal, change.OldKind, change.OldTuple.Span, change.NewTuple.Span);
            log.CompleteTransaction(first, transaction.Key, transaction.First().CommitTime);
        }
        List<SegmentEntry> segments = log.Rows == 0 ? [] : [await PlaceAsync(
            _writer.NextLogPath(new DateOnly(2026, 11, 22), log[0].CommitLsn), (output, path) => LogSegmentFile.WriteAsync(
                output, path, log, log.Rows, Origin, (number, version) => shapes.First(shape => shape.Number == number && shape.Version == version), default))];
        await CommitAsync(new CommitContent { Add = segments, CoveredTo = new CoveredTo(new Position(1, covered), time) });
    }

    public async Task SettleAsync()
    {
        var plan = SettlePlan.For(_writer.State, new SettleOptions(), default, atOnce: true)!;
        var job = new SettleJob(_medium, Identity, new SettleLimits(), NullLogger.Instance);
        await CommitAsync(await job.RunAsync(plan, _writer.State.Shape, $"00000001-{_writer.NextCounter():D12}-job", default));
    }

    /// <summary>Gives DuckDB what <c>crmbackup sql</c> prints.</summary>
    public void OpenViews()
    {
        Script = SqlViews.Text(_vault, Root, default);
        if (_duck.State != System.Data.ConnectionState.Open)
            _duck.Open();
        Run("SET TimeZone = 'UTC'");
        Run(Script);
    }

    public Task WriteViewsAsync() => SqlViews.WriteAsync(_vault, default);

    /// <summary>Rows as texts, in ordinal order; the exceptions column apart from the others.</summary>
    public List<string> Query(string sql)
    {
        using var command = _duck.CreateCommand();
        command.CommandText = sql;
        using var reader = command.ExecuteReader();
        var rows = new List<string>();
        while (reader.Read())
            rows.Add(string.Join(" | ", Enumerable.Range(0, reader.FieldCount)
                .Where(i => reader.GetName(i) != "_exceptions" || !reader.IsDBNull(i))
                .Select(i => reader.IsDBNull(i) ? "∅" : Convert.ToString(reader.GetValue(i), System.Globalization.CultureInfo.InvariantCulture))));
        rows.Sort(StringComparer.Ordinal);
        return rows;
    }

    public List<string> Columns(string sql)
    {
        using var command = _duck.CreateCommand();
        command.CommandText = $"DESCRIBE {sql}";
        using var reader = command.ExecuteReader();
        var columns = new List<string>();
        while (reader.Read())
            columns.Add($"{reader.GetString(0)} {reader.GetString(1)}");
        return columns;
    }

    public void Dispose()
    {
        _duck.Dispose();
        _writer.Dispose();
        Directory.Delete(Root, recursive: true);
    }

    void Run(string sql)
    {
        using var command = _duck.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    async Task<SegmentEntry> PlaceAsync(string path, Func<Stream, string, Task<SegmentEntry>> write)
    {
        var temporary = _medium.NewTemporaryPath("test");
        SegmentEntry entry;
        await using (var output = File.Create(temporary))
            entry = await write(output, path);
        await _medium.PublishAsync(temporary, path, default);
        return entry;
    }
}
