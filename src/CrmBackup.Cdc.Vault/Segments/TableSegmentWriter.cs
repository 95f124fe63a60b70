using CrmBackup.Cdc.Core;
using ParquetSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>Buffers rows as they came and encodes them a row group at a time. Not thread-safe.</summary>
sealed class TableSegmentWriter : IDisposable
{
    readonly TableLayout _layout;
    readonly HashingStream _output;
    readonly Dictionary<string, string> _metadata = [];
    readonly WriterProperties _properties;
    readonly ParquetFileWriter _parquet;
    readonly ByteArena _arena = new();
    readonly List<ChangeEvent> _rows = [];
    long _rowsWritten;

    public TableSegmentWriter(Stream output, SegmentKind kind, RelationShape shape)
    {
        _layout = TableLayout.New(kind, shape);
        _output = new HashingStream(output);
        _properties = _layout.Properties();
        using var schema = _layout.Node();
        _parquet = new ParquetFileWriter(_output, schema, _properties, _metadata, leaveOpen: true);
    }

    public IReadOnlyList<SegmentColumn> Columns => _layout.Columns;

    public EventTally Tally { get; } = new();

    /// <summary>Weight of the rows that are not yet in a row group.</summary>
    public long BufferedBytes { get; private set; }

    public long BytesWritten => _output.Written;

    /// <summary>Copies the tuple.</summary>
    public void AddRow(ReadOnlySpan<byte> tuple)
    {
        MakeRoom(tuple.Length);
        _rows.Add(default(ChangeEvent) with { NewTuple = _arena.Add(tuple) });
    }

    /// <summary>Copies the tuples.</summary>
    public void AddEvent(in ChangeEvent change)
    {
        MakeRoom((long)change.OldTuple.Length + change.NewTuple.Length);
        _rows.Add(change with { OldTuple = _arena.Add(change.OldTuple.Span), NewTuple = _arena.Add(change.NewTuple.Span) });
    }

    /// <summary>Writes what is buffered as a row group of its own.</summary>
    public void WriteRowGroup()
    {
        if (_rows.Count == 0)
            return;
        using (var encoder = new RowGroupEncoder(_layout))
        {
            foreach (var row in _rows)
                if (_layout.Kind == SegmentKind.Changes)
                    encoder.AddEvent(row);
                else
                    encoder.AddRow(row.NewTuple, _rowsWritten++);
            using var group = _parquet.AppendRowGroup();
            encoder.Write(group);
            group.Close();
        }
        _rows.Clear();
        _arena.Clear();
        BufferedBytes = 0;
    }

    /// <summary>Ends the file; the stream is neither flushed to disk nor closed.</summary>
    public SegmentEntry Complete(string path, SegmentDescription description)
    {
        WriteRowGroup();
        _metadata[SegmentDescription.Key] = description.ToJson();
        _parquet.Close();
        return description.ToEntry(path, _output.Written, _output.Finish());
    }

    void MakeRoom(long tupleBytes)
    {
        var weight = 64 + tupleBytes;
        if (_rows.Count > 0 && (_rows.Count == RowGroupLimit.Rows || BufferedBytes + weight > RowGroupLimit.Bytes))
            WriteRowGroup();
        BufferedBytes += weight;
    }

    public void Dispose()
    {
        _parquet.Dispose();
        _properties.Dispose();
        _output.Dispose();
        Tally.Dispose();
    }
}
