using System.Buffers.Binary;
using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>A pgoutput frame in the making, as a walsender writes it.</summary>
sealed class PgFrame
{
    readonly List<byte> _bytes = new(64);

    PgFrame(byte type, uint xid)
    {
        Byte(type);
        if (xid != 0)
            Int32(xid);
    }

    public static byte[] Begin(Transaction transaction) =>
        new PgFrame(PgOutputFrame.Begin, 0).Int64(transaction.CommitRecord.Value).Time(transaction.Time).Int32((uint)transaction.Xid).Done();

    public static byte[] Commit(Transaction transaction) => new PgFrame(PgOutputFrame.Commit, 0).End(transaction);

    public static byte[] StreamStart(Transaction transaction, bool first) =>
        new PgFrame(PgOutputFrame.StreamStart, (uint)transaction.Xid).Byte((byte)(first ? 1 : 0)).Done();

    public static byte[] StreamStop() => new PgFrame(PgOutputFrame.StreamStop, 0).Done();

    public static byte[] StreamAbort(Transaction transaction, uint sub) =>
        new PgFrame(PgOutputFrame.StreamAbort, (uint)transaction.Xid).Int32(sub == 0 ? (uint)transaction.Xid : sub).Done();

    public static byte[] StreamCommit(Transaction transaction) => new PgFrame(PgOutputFrame.StreamCommit, (uint)transaction.Xid).End(transaction);

    public static byte[] Relation(CrmTable table, uint xid)
    {
        var image = table.Image(0);
        var frame = new PgFrame(PgOutputFrame.Relation, xid).Int32(table.Oid).Text("public").Text(table.Name)
            .Byte((byte)image.Identity).Int16(image.Columns.Count);
        foreach (var column in image.ToShape(1, 1, Lsn.None).Columns)
            frame.Byte((byte)(column.IsKey ? 1 : 0)).Text(column.Name).Int32(column.TypeOid).Int32(unchecked((uint)-1));
        return frame.Done();
    }

    /// <param name="xid">In a stream: of the (sub)transaction.</param>
    public static byte[] Of(Change change, uint xid) => change.Kind switch
    {
        ChangeKind.Insert => Row(PgOutputFrame.Insert, change, xid).New(change).Done(),
        ChangeKind.Update => Row(PgOutputFrame.Update, change, xid).OldOfUpdate(change).New(change).Done(),
        ChangeKind.Delete => Row(PgOutputFrame.Delete, change, xid).Old(change).Done(),
        ChangeKind.Truncate => new PgFrame(PgOutputFrame.Truncate, xid).Int32(1).Byte(0).Int32(change.Table!.Oid).Done(),
        _ => Message(change, xid),
    };

    static PgFrame Row(byte type, Change change, uint xid) => new PgFrame(type, xid).Int32(change.Table!.Oid);

    static byte[] Message(Change change, uint xid)
    {
        var content = Encoding.UTF8.GetBytes(change.Message);
        return new PgFrame(PgOutputFrame.Message, xid).Byte(1).Int64(change.At.Value).Text("crmbackup").Int32((uint)content.Length).Bytes(content).Done();
    }

    PgFrame New(Change change) => Byte((byte)'N').Tuple(change.New!, change.DocUnchanged, keyOnly: false);

    PgFrame OldOfUpdate(Change change)
    {
        if (!change.Table!.HasKey)
            return Byte((byte)'O').Tuple(change.Old!, false, keyOnly: false);
        return change.Old!.Id == change.New!.Id ? this : Byte((byte)'K').Tuple(change.Old, false, keyOnly: true);
    }

    PgFrame Old(Change change) => change.Table!.HasKey
        ? Byte((byte)'K').Tuple(change.Old!, false, keyOnly: true) : Byte((byte)'O').Tuple(change.Old!, false, keyOnly: false);

    PgFrame Tuple(CrmRow row, bool docUnchanged, bool keyOnly)
    {
        Int16(3);
        Column($"{row.Id}");
        Column(keyOnly ? null : $"{row.N}");
        return docUnchanged ? Byte((byte)'u') : Column(keyOnly ? null : row.Doc);
    }

    PgFrame Column(string? text)
    {
        if (text is null)
            return Byte((byte)'n');
        var bytes = Encoding.UTF8.GetBytes(text);
        return Byte((byte)'t').Int32((uint)bytes.Length).Bytes(bytes);
    }

    byte[] End(Transaction transaction) =>
        Byte(0).Int64(transaction.CommitRecord.Value).Int64(transaction.End.Value).Time(transaction.Time).Done();

    PgFrame Byte(byte value)
    {
        _bytes.Add(value);
        return this;
    }

    PgFrame Int16(int value) => Byte((byte)(value >> 8)).Byte((byte)value);

    PgFrame Int32(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        _bytes.AddRange(bytes);
        return this;
    }

    PgFrame Int64(ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        _bytes.AddRange(bytes);
        return this;
    }

    PgFrame Time(SourceTime time) => Int64((ulong)(time.UnixMicroseconds - 946_684_800_000_000));

    PgFrame Text(string value) => Bytes(Encoding.UTF8.GetBytes(value)).Byte(0);

    PgFrame Bytes(byte[] value)
    {
        _bytes.AddRange(value);
        return this;
    }

    byte[] Done() => [.. _bytes];
}
