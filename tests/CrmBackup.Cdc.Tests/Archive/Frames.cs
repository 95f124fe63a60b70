using System.Buffers.Binary;
using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests;

/// <summary>Writes pgoutput frames as a walsender would, for tests of what reads them.</summary>
static class Frames
{
    public static byte[] Begin(ulong xid, ulong record, ulong end = 0)
    {
        var entry = new byte[BeginEntry.Size];
        new BeginEntry(xid, new Lsn(record), new Lsn(end), new SourceTime(1_000_000)).Write(entry);
        return entry;
    }

    public static byte[] Commit(ulong record, ulong end) =>
        Frame('C', output => output.Byte(0).Int64((long)record).Int64((long)end).Int64(0));

    public static byte[] Written(ulong at)
    {
        var entry = new byte[WrittenEntry.Size];
        new WrittenEntry(new Lsn(at)).Write(entry);
        return entry;
    }

    public static byte[] Relation(uint oid, string schema, string name, params (string Name, uint Type, bool Key)[] columns) =>
        Frame('R', output =>
        {
            output.Int32((int)oid).Text(schema).Text(name).Byte((byte)'d').Int16((short)columns.Length);
            foreach (var column in columns)
                output.Byte(column.Key ? (byte)1 : (byte)0).Text(column.Name).Int32((int)column.Type).Int32(-1);
        });

    public static byte[] Insert(uint oid, params string?[] values) =>
        Frame('I', output => output.Int32((int)oid).Byte((byte)'N').Bytes(Tuple(values)));

    public static byte[] Update(uint oid, params string?[] values) =>
        Frame('U', output => output.Int32((int)oid).Byte((byte)'N').Bytes(Tuple(values)));

    public static byte[] Truncate(params uint[] oids) =>
        Frame('T', output =>
        {
            output.Int32(oids.Length).Byte(0);
            foreach (var oid in oids)
                output.Int32((int)oid);
        });

    public static byte[] OwnMessage(string json)
    {
        var content = Encoding.UTF8.GetBytes($"{new string('0', 64)} 0 {json}");
        var frame = Frame('M', output => output.Byte(1).Int64(0).Text("crmbackup").Int32(content.Length).Bytes(content));
        return [EntryType.OwnMessage, .. frame];
    }

    /// <summary>null = NULL, "\u0001" = unchanged.</summary>
    public static byte[] Tuple(params string?[] values)
    {
        var tuple = new TupleWriter();
        tuple.Begin();
        foreach (var value in values)
            if (value is null)
                tuple.Null();
            else if (value == "\u0001")
                tuple.Unchanged();
            else
                tuple.Text(Encoding.UTF8.GetBytes(value));
        return tuple.End().ToArray();
    }

    public static string Values(ReadOnlySpan<byte> tuple)
    {
        var columns = new TupleReader(tuple);
        var values = new List<string>();
        for (var i = 0; i < columns.Count; i++)
            values.Add(columns.Next(out var text) switch
            {
                ColumnState.Null => "NULL",
                ColumnState.Unchanged => "unchanged",
                _ => Encoding.UTF8.GetString(text),
            });
        return string.Join('|', values);
    }

    static byte[] Frame(char type, Action<Output> write)
    {
        var output = new Output();
        output.Byte((byte)type);
        write(output);
        return output.ToArray();
    }

    sealed class Output
    {
        readonly MemoryStream _bytes = new();

        public Output Byte(byte value)
        {
            _bytes.WriteByte(value);
            return this;
        }

        public Output Int16(short value) => Bytes([(byte)(value >> 8), (byte)value]);

        public Output Int32(int value)
        {
            var bytes = new byte[4];
            BinaryPrimitives.WriteInt32BigEndian(bytes, value);
            return Bytes(bytes);
        }

        public Output Int64(long value)
        {
            var bytes = new byte[8];
            BinaryPrimitives.WriteInt64BigEndian(bytes, value);
            return Bytes(bytes);
        }

        public Output Text(string value) => Bytes([.. Encoding.UTF8.GetBytes(value), 0]);

        public Output Bytes(byte[] value)
        {
            _bytes.Write(value);
            return this;
        }

        public byte[] ToArray() => _bytes.ToArray();
    }
}
