using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Our own messages in the stream: DDL, rewrites, marks, barriers.</summary>
sealed partial class EventReader
{
    /// <summary>Capture's own command: <c>tell_changes</c>.</summary>
    const string TellChanges = "TELL CHANGES";

    void Message(ReadOnlySpan<byte> frame)
    {
        var message = MessageFrame.Parse(frame);
        if (!message.Transactional)
            throw new FormatViolationException("a message of ours is not transactional");
        var said = OwnMessage.Parse(message.Content);
        switch (said)
        {
            case RewrittenRowsMessage rows:
                Rewritten(rows);
                return;
            case ChangedRowMessage change:
                Changed(change);
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
        (_ddl, _told, _vague) = (true, true, _vague || ddl.Incomplete is not null);
        _spoken |= ddl.Command != TellChanges;
        _named.UnionWith([.. ddl.Dropped ?? [], .. ddl.Unprotected ?? []]);
        ChoiceChanged |= ddl.Command is "ALTER PUBLICATION" or "DROP PUBLICATION" or "CREATE PUBLICATION" || ddl.Incomplete is not null;
        if (ddl.Incomplete is { } why)
            _undescribed.Add($"{ddl.Command} was not described: {why}");
        else if (ddl.Schema is null)
            _undescribed.Add($"{ddl.Command} was not described: the functions in the source are of an older version, init renews them");
        else if (ddl.Schema.Undescribed is { } what)
            _undescribed.Add($"{ddl.Command} was not described: {what}");
        if (ddl.Schema is { } change)
            _changes.Add(change);
        foreach (var image in ddl.Tables ?? [])
            Touched(image, ddl.Created?.Contains(image.Oid) == true);
        if (ddl.Incomplete is not null && ddl.Command.StartsWith("ALTER ", StringComparison.Ordinal))
            // A label renamed, an attribute more: nobody told in which tables.
            foreach (var shape in tables.Live.Where(shape => shape.Columns.Any(column => column.Rule is not null) && !_born.Contains(shape.Number)))
                _untold[shape.Number] = $"a type of {shape.FullName} may have changed: {ddl.Command} was not described";
        if ((ddl.Renames || ddl.Incomplete is not null) && RegValues.MayRename(ddl.Command))
            foreach (var shape in tables.Live.Where(RegValues.In).Where(shape => !_born.Contains(shape.Number)))
                _untold[shape.Number] = $"what {shape.FullName} names may have another name since {ddl.Command}";
        foreach (var oid in ddl.Unprotected ?? [])
            if (tables.Drop(oid) is { } left && !_joined.Remove(left.Number))
                _lost.Add((left.Number, $"{left.FullName} is not protected any more"));
        foreach (var oid in ddl.Dropped ?? [])
            if (tables.Drop(oid) is { } dropped && !_born.Remove(dropped.Number))
                _joined.Remove(dropped.Number);
    }

    DateTimeOffset FoundAt => (Time ?? _begin!.Value.Time).ToDateTimeOffset();

    void Touched(CatalogTable image, bool created)
    {
        _named.Add(image.Oid);
        if (image.Schema == OwnSchema || image.Kind != 'r')
            return;
        var known = tables.Find(image.Oid);
        var untold = tables.Image(image.Oid) is { Updates: false };
        if (known is not null)
            _reshaped.Remove(known.Number);
        if (image.Persistence != 'p')
        {
            // Its rows do not pass the WAL (any more).
            if (known is not null && tables.Drop(image.Oid) is { } ended && !_joined.Remove(ended.Number))
                _lost.Add((ended.Number, $"{image.Schema}.{image.Name} became unlogged"));
            return;
        }
        var (shape, isNew) = tables.Apply(image);
        if (known is not null && Untold(known, shape) is { } reason)
            _untold[shape.Number] = reason;
        if (created && (isNew || _unexplained.Contains(shape.Number)))
            _born.Add(shape.Number);
        else if (isNew && !_born.Contains(shape.Number))
            _joined.Add(shape.Number);
        _unexplained.Remove(shape.Number);
        // Its base waits until they are.
        if (!image.Updates && (isNew || !untold))
            _lost.Add((shape.Number, $"updates and deletes of {shape.FullName} are not published yet"));
    }

    /// <summary>Why the older rows of a changed table cannot be told without being read anew; null when they can.</summary>
    static string? Untold(RelationShape before, RelationShape after)
    {
        foreach (var column in after.Columns)
            if (before.Columns.FirstOrDefault(one => one.AttNum == column.AttNum) is { } was && !ValueConversion.IsKnown(was, column))
                return $"{after.FullName}.{column.Name} was {was.TypeName} and is {column.TypeName}";
        return null;
    }

    /// <summary>All rows before are void; those after follow in <see cref="RewrittenRowsMessage"/>s, or are unknown until a new base.</summary>
    void Rewrite(RewriteMessage rewrite)
    {
        (_ddl, _told, _spoken) = (true, true, true);
        _named.Add(rewrite.Table.Oid);
        if (rewrite.Table.Kind != 'r' || rewrite.Table.Persistence != 'p')
            return;
        var (shape, isNew) = tables.Apply(rewrite.Table);
        if (_joined.Remove(shape.Number) || isNew)
            // Logged from here on: all its rows are about to be told.
            _born.Add(shape.Number);
        _unexplained.Remove(shape.Number);
        _reshaped.Remove(shape.Number);
        _untold.Remove(shape.Number);
        if (rewrite.Reemitted)
            events.Add(EventKind.Rewrite, shape.Number, shape.Version, _begin!.Value.Xid, NextOrdinal(), OldTupleKind.None, default, default);
        else
            _lost.Add((shape.Number, $"{shape.FullName} was rewritten: {rewrite.Reason ?? "too large to send again"}"));
    }

    void Changed(ChangedRowMessage change)
    {
        var ordinal = NextOrdinal();
        if (_skipping || tables.Find(change.Oid) is not { } known)
            return;
        var old = RecordText.ToTuple(change.Old, known.Columns.Count, _tuple).ToArray();
        events.Add(change.New is null ? EventKind.Delete : EventKind.Update, known.Number, known.Version, _begin!.Value.Xid, ordinal,
            OldTupleKind.Full, old, change.New is null ? default : RecordText.ToTuple(change.New, known.Columns.Count, _tuple));
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
