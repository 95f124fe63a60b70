using System.Security.Cryptography;
using CrmBackup.Cdc.Core;
using ParquetSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>A segment whose bytes were compared with the hash its commit gives, open for reading. Owns the stream.
/// Not thread-safe, one reading at a time.</summary>
public sealed class SegmentFile : IDisposable
{
    readonly Stream _stream;
    readonly ParquetFileReader _parquet;

    readonly string _path;

    SegmentFile(string path, Stream stream)
    {
        (_path, _stream) = (path, stream);
        try
        {
            _parquet = new ParquetFileReader(stream, leaveOpen: true);
            Description = SegmentDescription.Parse(path, _parquet.FileMetaData.KeyValueMetadata);
            for (var i = 0; i < _parquet.FileMetaData.NumRowGroups; i++)
            {
                using var group = _parquet.RowGroup(i);
                if (group.MetaData.NumRows is < 0 or > RowGroupLimit.Rows)
                    throw new FormatViolationException($"{path} has a row group of {group.MetaData.NumRows} rows: no segment has");
            }
        }
        catch (ParquetException failure)
        {
            throw new FormatViolationException($"{path} cannot be read as Parquet: {failure.Message}", failure);
        }
    }

    public SegmentDescription Description { get; }

    /// <summary>Hashes the whole file first: nothing of it is used before it is what the commit says.</summary>
    /// <param name="stream">Readable and seekable; owned from here on, also when this throws.</param>
    /// <exception cref="DifferenceException">The file is not the one that was committed.</exception>
    public static SegmentFile OpenVerified(Stream stream, SegmentEntry entry)
    {
        try
        {
            VerifyHash(stream, entry);
            stream.Position = 0;
            var file = new SegmentFile(entry.Path, stream);
            var said = file.Description.ToEntry(entry.Path, entry.Bytes, entry.FileHash);
            return said == entry
                ? file
                : throw new DifferenceException(
                    $"{entry.Path} describes itself differently from its commit: {said} instead of {entry}", VerifyHint);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>For a lone file, whose commits are gone: only what it says about itself is known.</summary>
    public static SegmentFile OpenAlone(Stream stream, string path)
    {
        try
        {
            return new SegmentFile(path, stream);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Reads a segment back and compares it with its entry: file hash, rows, and content hash of what it decodes to.</summary>
    /// <exception cref="DifferenceException">It does not hold what was written.</exception>
    public static void VerifyWritten(Stream stream, SegmentEntry entry)
    {
        using var file = OpenVerified(stream, entry);
        using var tally = new EventTally();
        if (entry.Kind == SegmentKind.Base)
            foreach (var row in file.ReadRows())
                tally.AddRow(row.Span);
        else
            foreach (var change in file.ReadEvents())
                tally.Add(change);
        if (tally.Rows != entry.Rows || tally.ContentHash() != entry.ContentHash)
            throw new DifferenceException($"{entry.Path} does not read back as what was written into it", VerifyHint);
    }

    /// <summary>The events in commit order. Tuples are valid until the enumeration moves on.</summary>
    /// <param name="relation">Only this relation's events; null = all.</param>
    public IEnumerable<ChangeEvent> ReadEvents(int? relation = null) => Description.Kind switch
    {
        SegmentKind.Log => Guarded(() => LogSegmentReader.Read(_parquet, relation)),
        SegmentKind.Changes when relation is not { } only || only == Description.Relation =>
            Guarded(() => new TableSegmentReader(_parquet, Description).Events()),
        SegmentKind.Changes => [],
        _ => throw new InvalidOperationException($"a {Description.Kind} segment holds no events"),
    };

    /// <summary>The transactions in commit order, each once: cheap, of the events only three columns are read.</summary>
    public IEnumerable<TransactionStamp> ReadTransactions() => Description.Kind switch
    {
        SegmentKind.Log => Guarded(() => TransactionReader.Read(_parquet, "commit_lsn", "commit_time", "xid")),
        SegmentKind.Changes => Guarded(() => TransactionReader.Read(
            _parquet, MetadataColumn.CommitLsn, MetadataColumn.CommitTime, MetadataColumn.Xid)),
        _ => throw new InvalidOperationException($"a {Description.Kind} segment holds no events"),
    };

    /// <summary>The rows of a base segment, as tuples. Valid until the enumeration moves on.</summary>
    public IEnumerable<ReadOnlyMemory<byte>> ReadRows() => Description.Kind == SegmentKind.Base
        ? Guarded(() => new TableSegmentReader(_parquet, Description).Rows())
        : throw new InvalidOperationException($"a {Description.Kind} segment holds events, not rows");

    /// <summary>Whoever wrote the bytes, what they do to the library below is said in one way.</summary>
    IEnumerable<T> Guarded<T>(Func<IEnumerable<T>> read)
    {
        using var rows = Try(() => read().GetEnumerator());
        while (Try(rows.MoveNext))
            yield return rows.Current;
    }

    T Try<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception failure) when (failure is not (BackupException or OperationCanceledException or ObjectDisposedException))
        {
            throw new FormatViolationException($"{_path} cannot be read: {failure.Message.ReplaceLineEndings(" ")}", failure);
        }
    }

    const string VerifyHint = "Run 'crmbackup verify' to see which restore points remain.";

    internal static void VerifyHash(Stream stream, SegmentEntry entry)
    {
        stream.Position = 0;
        var hash = Sha256.From(SHA256.HashData(stream));
        if (stream.Length != entry.Bytes || hash != entry.FileHash)
            throw new DifferenceException(
                $"{entry.Path} is damaged: {stream.Length} bytes with SHA-256 {hash}, its commit says {entry.Bytes} with {entry.FileHash}",
                VerifyHint);
    }

    public void Dispose()
    {
        _parquet.Dispose();
        _stream.Dispose();
    }
}
