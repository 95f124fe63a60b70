using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Our own messages in the stream: DDL, rewrites, marks, barriers.</summary>
sealed partial class EventReader
{
    void Message(ReadOnlySpan<byte> frame)
    {
        var message = MessageFrame.Parse(frame);
        if (!message.Transactional)
            throw new FormatViolationException("a message of ours is not transactional");
        var said = OwnMessage.Parse(message.Content);
        if (said is RewrittenRowsMessage rows)
        {
            Rewritten(rows);
            return;
        }
        var ordinal = NextOrdinal();
        if (_skipping)
            return;
        _tuple.Begin();
        _tuple.Text(Encoding.UTF8.GetBytes(message.Prefix));
        _tuple.Text(message.Content);
        events.Add(EventKind.Message, 0, 0, _begin!.Value.Xid, ordinal, OldTupleKind.None, default, _tuple.End());
        switch (said)
        {
            case DdlMessage ddl: Ddl(ddl); break;
            case RewriteMessage rewrite: Rewrite(rewrite); break;
            case MarkMessage mark: _marks.Add(new Mark(mark.Name, default, mark.Before, default, 0)); break;
            case BarrierMessage: break;
            default: throw new FormatViolationException($"a message of ours has the unknown kind {said.GetType().Name}");
        }
    }

    void Ddl(DdlMessage ddl)
    {
        _ddl = true;
        ChoiceChanged |= ddl.Command is "ALTER PUBLICATION" or "DROP PUBLICATION" or "CREATE PUBLICATION" || ddl.Incomplete is not null;
        if (ddl.Incomplete is { } why)
            pending.Gaps.Add(new Gap(GapScope.Schema, 0, Position, null, $"{ddl.Command} was not described: {why}", FoundAt));
        foreach (var image in ddl.Tables ?? [])
            Touched(image, ddl.Created?.Contains(image.Oid) == true);
        foreach (var oid in ddl.Retyped ?? [])
            if (tables.Find(oid) is { } retyped && !_born.Contains(retyped.Number))
                _lost.Add((retyped.Number, $"a type that {retyped.FullName} uses was changed"));
        foreach (var oid in ddl.Unprotected ?? [])
            if (tables.Drop(oid) is { } left)
                _lost.Add((left.Number, $"{left.FullName} is not protected any more"));
        foreach (var oid in ddl.Dropped ?? [])
            if (tables.Drop(oid) is { } dropped)
                _born.Remove(dropped.Number);
    }

    DateTimeOffset FoundAt => (Time ?? _begin!.Value.Time).ToDateTimeOffset();

    void Touched(CatalogTable image, bool created)
    {
        if (image.Schema == OwnSchema || image.Kind != 'r')
            return;
        var known = tables.Find(image.Oid);
        if (image.Persistence != 'p')
        {
            // Its rows do not pass the WAL (any more).
            if (known is not null && tables.Drop(image.Oid) is { } ended)
                _lost.Add((ended.Number, $"{image.Schema}.{image.Name} became unlogged"));
            return;
        }
        var (shape, isNew) = tables.Apply(image);
        if (created && (isNew || _unexplained.Contains(shape.Number)))
            _born.Add(shape.Number);
        else if (isNew && !_born.Contains(shape.Number))
            _lost.Add((shape.Number, $"{shape.FullName} is protected from here on"));
        _unexplained.Remove(shape.Number);
    }

    /// <summary>All rows before are void; those after follow in <see cref="RewrittenRowsMessage"/>s, or are unknown until a new base.</summary>
    void Rewrite(RewriteMessage rewrite)
    {
        _ddl = true;
        if (rewrite.Table.Kind != 'r' || rewrite.Table.Persistence != 'p')
            return;
        var (shape, isNew) = tables.Apply(rewrite.Table);
        if (isNew && !_born.Contains(shape.Number))
            // Logged from here on: all its rows are about to be told.
            _born.Add(shape.Number);
        _unexplained.Remove(shape.Number);
        if (rewrite.Reemitted)
            events.Add(EventKind.Rewrite, shape.Number, shape.Version, _begin!.Value.Xid, NextOrdinal(), OldTupleKind.None, default, default);
        else
            _lost.Add((shape.Number, $"{shape.FullName} was rewritten: {rewrite.Reason ?? "too large to send again"}"));
    }

    void Rewritten(RewrittenRowsMessage rows)
    {
        var known = tables.Find(rows.Oid);
        foreach (var row in rows.Rows)
        {
            var ordinal = NextOrdinal();
            if (!_skipping && known is not null)
                events.Add(EventKind.Insert, known.Number, known.Version, _begin!.Value.Xid, ordinal, OldTupleKind.None, default,
                    RecordText.ToTuple(row, known.Columns.Count, _tuple));
        }
    }
}
