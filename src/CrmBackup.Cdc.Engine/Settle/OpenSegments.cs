using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The changes segments that a settle job is writing, one per relation and shape. Memory and open files are bounded: the
/// fullest writes its row group early, the longest unused is completed and goes on in a further segment. What is not placed is deleted.</summary>
/// <param name="stem">Begins every file's name: no other job has it.</param>
sealed class OpenSegments(IMedium medium, SegmentOrigin origin, SettleLimits limits, string stem) : IDisposable
{
    readonly Dictionary<(int Relation, int Shape), OpenSegment> _open = [];
    readonly List<SegmentEntry> _placed = [];
    long _buffered;
    long _clock;
    int _files;

    /// <param name="shapeOf">Finds the shape that the event names, where its segment is not open yet.</param>
    public ValueTask AddAsync(in ChangeEvent change, Func<int, int, RelationShape> shapeOf, CancellationToken stop)
    {
        if (!_open.TryGetValue((change.Relation, change.Shape), out var segment) || segment.Writer.BytesWritten >= limits.SegmentBytes)
            return OpenedAsync(segment, change, shapeOf, stop);
        Add(segment, change);
        return ValueTask.CompletedTask;
    }

    /// <param name="full">Completed first.</param>
    async ValueTask OpenedAsync(OpenSegment? full, ChangeEvent change, Func<int, int, RelationShape> shapeOf, CancellationToken stop)
    {
        if (full is not null)
            await PlaceAsync(full, stop);
        if (_open.Count == limits.OpenSegmentsMax)
            await PlaceAsync(_open.Values.MinBy(other => other.LastUse)!, stop);
        Add(Open(change.Relation == 0 ? ChangesSegmentWriter.Messages : shapeOf(change.Relation, change.Shape), change.CommitTime), change);
    }

    void Add(OpenSegment segment, in ChangeEvent change)
    {
        segment.LastUse = ++_clock;
        _buffered -= segment.Writer.BufferedBytes;
        segment.Writer.Add(change);
        _buffered += segment.Writer.BufferedBytes;
        if (_buffered > limits.BufferedBytesMax)
            WriteFullest();
    }

    /// <summary>Which log segments these replace; null when they are not linked themselves.</summary>
    public SegmentLink? Link { get; set; }

    /// <summary>Completes and places all. Each is durable under its final name.</summary>
    /// <param name="said">What the log segments carried along: the last segment does from now on.</param>
    public async Task<IReadOnlyList<SegmentEntry>> CompleteAsync(string? said, CancellationToken stop)
    {
        var left = _open.Values.ToList();
        foreach (var (i, segment) in left.Index())
            await PlaceAsync(segment, stop, parts: i == left.Count - 1 ? _placed.Count + 1 : 0, i == left.Count - 1 ? said : null);
        return _placed;
    }

    public void Dispose()
    {
        foreach (var segment in _open.Values)
        {
            segment.Dispose();
            medium.DeleteTemporary(segment.Temporary);
        }
        _open.Clear();
    }

    OpenSegment Open(RelationShape shape, SourceTime first)
    {
        var day = DateOnly.FromDateTime(first.ToDateTimeOffset().UtcDateTime);
        var path = VaultPath.Table(shape, SegmentKind.Changes, day, $"{stem}-{++_files:D5}");
        var temporary = medium.NewTemporaryPath("settle");
        var segment = new OpenSegment(medium, path, temporary, shape, origin);
        _open.Add((shape.Number, shape.Version), segment);
        return segment;
    }

    void WriteFullest()
    {
        var fullest = _open.Values.MaxBy(segment => segment.Writer.BufferedBytes)!;
        _buffered -= fullest.Writer.BufferedBytes;
        fullest.Writer.WriteRowGroup();
    }

    async Task PlaceAsync(OpenSegment segment, CancellationToken stop, int parts = 0, string? said = null)
    {
        _buffered -= segment.Writer.BufferedBytes;
        var link = Link is null ? null : Link with { Job = stem, Part = _placed.Count + 1, Parts = parts };
        var entry = segment.Writer.Complete(segment.Path, link, said);
        segment.Dispose();
        await medium.PublishAsync(segment.Temporary, segment.Path, stop);
        _open.Remove((entry.Relation, entry.Shape));
        _placed.Add(entry);
    }

    sealed class OpenSegment : IDisposable
    {
        readonly Stream _output;
        bool _closed;

        public OpenSegment(IMedium medium, string path, string temporary, RelationShape shape, SegmentOrigin origin)
        {
            (Path, Temporary) = (path, temporary);
            _output = medium.CreateTemporary(temporary, bufferSize: 0);
            Writer = new ChangesSegmentWriter(_output, shape, origin);
        }

        public string Path { get; }
        public string Temporary { get; }
        public ChangesSegmentWriter Writer { get; }
        public long LastUse { get; set; }

        public void Dispose()
        {
            if (_closed)
                return;
            _closed = true;
            Writer.Dispose();
            _output.Dispose();
        }
    }
}
