using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Several event segments as one stream in commit order. A segment is opened when its first event's turn comes and closed after
/// its last, so that only those that overlap are open together. Each file's hash is checked before it is used.</summary>
sealed class EventMerge(IMedium medium)
{
    /// <summary>Tuples are valid until the enumeration moves on.</summary>
    /// <param name="relation">Only this relation's events; null = all.</param>
    public IEnumerable<ChangeEvent> Read(IEnumerable<SegmentEntry> segments, int? relation = null)
    {
        var turns = new PriorityQueue<Cursor, (Lsn, int)>();
        foreach (var segment in segments.Where(segment => segment.Rows > 0))
            turns.Enqueue(new Cursor(medium, segment, relation), (segment.First, -1));
        try
        {
            while (turns.TryDequeue(out var cursor, out _))
            {
                if (cursor.IsOpen)
                    yield return cursor.Current;
                if (cursor.MoveNext())
                    turns.Enqueue(cursor, (cursor.Current.CommitLsn, cursor.Current.Ordinal));
                else
                    cursor.Dispose();
            }
        }
        finally
        {
            foreach (var (cursor, _) in turns.UnorderedItems)
                cursor.Dispose();
        }
    }

    sealed class Cursor(IMedium medium, SegmentEntry segment, int? relation) : IDisposable
    {
        SegmentFile? _file;
        IEnumerator<ChangeEvent>? _events;

        public bool IsOpen => _events is not null;

        public ChangeEvent Current => _events!.Current;

        public bool MoveNext()
        {
            _file ??= SegmentFile.OpenVerified(medium.OpenRead(segment.Path), segment);
            _events ??= _file.ReadEvents(relation).GetEnumerator();
            return _events.MoveNext();
        }

        public void Dispose()
        {
            _events?.Dispose();
            _file?.Dispose();
        }
    }
}
