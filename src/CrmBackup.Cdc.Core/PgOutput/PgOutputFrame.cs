namespace CrmBackup.Cdc.Core;

/// <summary>First bytes of pgoutput frames, protocol 1 and 2.</summary>
public static class PgOutputFrame
{
    public const byte Begin = (byte)'B';
    public const byte Commit = (byte)'C';
    public const byte Origin = (byte)'O';
    public const byte Relation = (byte)'R';
    public const byte Type = (byte)'Y';
    public const byte Insert = (byte)'I';
    public const byte Update = (byte)'U';
    public const byte Delete = (byte)'D';
    public const byte Truncate = (byte)'T';
    public const byte Message = (byte)'M';
    public const byte StreamStart = (byte)'S';
    public const byte StreamStop = (byte)'E';
    public const byte StreamCommit = (byte)'c';
    public const byte StreamAbort = (byte)'A';
}

/// <summary>A Commit frame ('C').</summary>
public readonly record struct CommitFrame(Lsn CommitRecord, Lsn End, SourceTime Time)
{
    public static CommitFrame Parse(ReadOnlySpan<byte> frame)
    {
        var reader = new PgOutputReader(frame);
        reader.Byte();
        reader.Byte();
        return new CommitFrame(reader.Lsn(), reader.Lsn(), SourceTime.FromPostgres(reader.Int64()));
    }
}

/// <summary>A Relation frame ('R'): columns by name, in attnum order; attnums are not in it.</summary>
public sealed record RelationFrame(
    uint Oid, string Schema, string Name, ReplicaIdentity Identity, IReadOnlyList<RelationFrameColumn> Columns)
{
    public static RelationFrame Parse(ReadOnlySpan<byte> frame)
    {
        var reader = new PgOutputReader(frame);
        reader.Byte();
        var oid = reader.UInt32();
        // pg_catalog is sent as an empty name.
        var schema = reader.Text() is { Length: > 0 } named ? named : "pg_catalog";
        var name = reader.Text();
        var identity = (ReplicaIdentity)reader.Byte();
        var columns = new RelationFrameColumn[Math.Max((int)reader.Int16(), 0)];
        for (var i = 0; i < columns.Length; i++)
            columns[i] = new RelationFrameColumn((reader.Byte() & 1) != 0, reader.Text(), reader.UInt32(), reader.Int32());
        return new RelationFrame(oid, schema, name, identity, columns);
    }
}

public sealed record RelationFrameColumn(bool IsKey, string Name, uint TypeOid, int TypeMod);

/// <summary>An Insert, Update or Delete frame. The tuples are slices of the frame.</summary>
public readonly ref struct RowFrame
{
    public uint Oid { get; private init; }
    public EventKind Kind { get; private init; }
    public OldTupleKind OldKind { get; private init; }
    public ReadOnlySpan<byte> OldTuple { get; private init; }
    public ReadOnlySpan<byte> NewTuple { get; private init; }

    public static RowFrame Parse(ReadOnlySpan<byte> frame)
    {
        var reader = new PgOutputReader(frame);
        var kind = (EventKind)reader.Byte();
        var oid = reader.UInt32();
        var oldKind = OldTupleKind.None;
        ReadOnlySpan<byte> oldTuple = default, newTuple = default;
        while (reader.Remaining > 0)
        {
            var part = reader.Byte();
            switch (part)
            {
                case (byte)'K' or (byte)'O' when kind != EventKind.Insert && oldKind == OldTupleKind.None && newTuple.IsEmpty:
                    oldKind = (OldTupleKind)part;
                    oldTuple = reader.Tuple();
                    break;
                case (byte)'N' when kind != EventKind.Delete && newTuple.IsEmpty:
                    newTuple = reader.Tuple();
                    break;
                default:
                    throw new FormatViolationException($"a '{(char)kind}' frame has an unexpected part 0x{part:x2}");
            }
        }
        if (kind == EventKind.Delete ? oldTuple.IsEmpty : newTuple.IsEmpty)
            throw new FormatViolationException($"a '{(char)kind}' frame has no tuple");
        return new RowFrame { Oid = oid, Kind = kind, OldKind = oldKind, OldTuple = oldTuple, NewTuple = newTuple };
    }
}

/// <summary>A Truncate frame ('T'): exactly these relations; CASCADE is already resolved by the source.</summary>
public sealed record TruncateFrame(bool Cascade, bool RestartIdentity, IReadOnlyList<uint> Oids)
{
    public static TruncateFrame Parse(ReadOnlySpan<byte> frame)
    {
        var reader = new PgOutputReader(frame);
        reader.Byte();
        var count = reader.Int32();
        var options = reader.Byte();
        if (count < 0 || count > reader.Remaining / 4)
            throw new FormatViolationException($"a truncate frame says it lists {count} relations");
        var oids = new uint[count];
        for (var i = 0; i < count; i++)
            oids[i] = reader.UInt32();
        return new TruncateFrame((options & 1) != 0, (options & 2) != 0, oids);
    }
}

/// <summary>A logical message ('M').</summary>
public readonly ref struct MessageFrame
{
    public bool Transactional { get; private init; }
    public Lsn Lsn { get; private init; }
    public string Prefix { get; private init; }
    public ReadOnlySpan<byte> Content { get; private init; }

    public static MessageFrame Parse(ReadOnlySpan<byte> frame)
    {
        var reader = new PgOutputReader(frame);
        reader.Byte();
        var transactional = (reader.Byte() & 1) != 0;
        var lsn = reader.Lsn();
        var prefix = reader.Text();
        return new MessageFrame { Transactional = transactional, Lsn = lsn, Prefix = prefix, Content = reader.Take(reader.Int32()) };
    }
}
