using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What the slot says, one line per event, our messages with their hash checked by an HMAC of .NET's.</summary>
static class SlotText
{
    /// <summary>Reads the slot to its end and moves it there. For example
    /// <c>ddl ALTER TABLE t[a integer, b text]</c>, <c>insert t (1,x)</c>, <c>rows t (1,x) (2,y)</c>; transactions end with <c>;</c>.</summary>
    public static async Task<IReadOnlyList<string>> ReadAsync(SourceDatabase source)
    {
        var key = await KeyAsync(source);
        var lines = new List<string>();
        var names = new Dictionary<uint, string>();
        const string sql = """
            SELECT data FROM pg_logical_slot_get_binary_changes(
                (SELECT value FROM crmbackup.settings WHERE key = 'slot'), NULL, NULL,
                'proto_version', '2', 'publication_names', (SELECT string_agg(value, ',' ORDER BY key DESC) FROM crmbackup.settings WHERE key IN ('publication', 'changesPublication')), 'messages', 'true')
            """;
        await using var command = new NpgsqlCommand(sql, source.Ours);
        await using var reader = await command.ExecuteReaderAsync();
        uint xid = 0;
        while (await reader.ReadAsync())
        {
            var frame = (byte[])reader[0];
            switch (frame[0])
            {
                case PgOutputFrame.Begin: xid = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(frame.AsSpan(17)); break;
                // PostgreSQL 14 sends transactions without changes too.
                case PgOutputFrame.Commit when lines is [] or [.., ";"]: break;
                case PgOutputFrame.Commit: lines.Add(";"); break;
                case PgOutputFrame.Relation:
                    var relation = RelationFrame.Parse(frame);
                    names[relation.Oid] = relation.Schema == "crmbackup" ? "" : relation.Name;
                    break;
                case PgOutputFrame.Insert or PgOutputFrame.Update or PgOutputFrame.Delete:
                    // Our own settings are published too, as all tables are; nobody backs them up.
                    if (names[RowFrame.Parse(frame).Oid].Length > 0)
                        lines.Add(Row(frame, names));
                    break;
                case PgOutputFrame.Truncate:
                    lines.Add("truncate " + string.Join(' ', TruncateFrame.Parse(frame).Oids.Select(oid => names[oid])));
                    break;
                case PgOutputFrame.Message: lines.Add(Message(MessageFrame.Parse(frame), key, xid, names)); break;
                case PgOutputFrame.Type or PgOutputFrame.Origin: break;
                default: throw new InvalidOperationException($"frame {(char)frame[0]}");
            }
        }
        return lines;
    }

    /// <summary>The payload of one of our messages, checked.</summary>
    public static bool Ours(ReadOnlySpan<byte> content, byte[] key, uint xid, out string payload)
    {
        var text = Encoding.UTF8.GetString(content);
        payload = text;
        var parts = text.Split(' ', 3);
        if (parts.Length != 3 || parts[0].Length != 64)
            return false;
        payload = parts[2];
        return parts[0] == Convert.ToHexStringLower(HMACSHA256.HashData(key, Encoding.UTF8.GetBytes($"{xid} {parts[1]} {parts[2]}")));
    }

    static async Task<byte[]> KeyAsync(SourceDatabase source)
    {
        var inner = await source.AskAsync<byte[]>("SELECT inner_pad FROM crmbackup.secret");
        var outer = await source.AskAsync<byte[]>("SELECT outer_pad FROM crmbackup.secret");
        var key = inner.Select(value => (byte)(value ^ 0x36)).ToArray();
        return key.SequenceEqual(outer.Select(value => (byte)(value ^ 0x5c))) && key.Take(32).Distinct().Count() > 8
            ? key : throw new InvalidOperationException("the pads are not those of one random key");
    }

    static string Row(byte[] frame, Dictionary<uint, string> names)
    {
        var row = RowFrame.Parse(frame);
        var verb = row.Kind switch { EventKind.Insert => "insert", EventKind.Update => "update", _ => "delete" };
        return $"{verb} {names[row.Oid]} {Tuple(row.Kind == EventKind.Delete ? row.OldTuple : row.NewTuple)}";
    }

    static string Tuple(ReadOnlySpan<byte> tuple)
    {
        var reader = new TupleReader(tuple);
        var values = new List<string>();
        for (var i = 0; i < reader.Count; i++)
            values.Add(reader.Next(out var text) == ColumnState.Text ? Encoding.UTF8.GetString(text) : "");
        return $"({string.Join(',', values)})";
    }

    static string Message(MessageFrame message, byte[] key, uint xid, Dictionary<uint, string> names)
    {
        if (message.Prefix != "crmbackup" || !Ours(message.Content, key, xid, out var payload))
            return $"foreign {message.Prefix} {Encoding.UTF8.GetString(message.Content)}";
        using var json = JsonDocument.Parse(payload);
        var root = json.RootElement;
        string List(string name) => root.TryGetProperty(name, out var list) && list.GetArrayLength() > 0
            ? $" {name}={string.Join(' ', list.EnumerateArray().Select(item => names.GetValueOrDefault(item.GetUInt32(), "?")))}" : "";
        switch (root.GetProperty("is").GetString())
        {
            case "ddl":
                var tables = root.GetProperty("tables").EnumerateArray().Select(item => Table(item, names)).ToList();
                return $"ddl {root.GetProperty("command").GetString()}{string.Concat(tables.Order(StringComparer.Ordinal).Select(table => " " + table))}"
                    + List("created") + List("dropped")
                    + (root.TryGetProperty("incomplete", out var incomplete) ? $" incomplete: {incomplete.GetString()}" : "");
            case "rewrite":
                return $"rewrite {Table(root.GetProperty("table"), names)}"
                    + (root.GetProperty("reemitted").GetBoolean() ? "" : $" not re-emitted: {root.GetProperty("reason").GetString()}");
            case "rows":
                return $"rows {names[root.GetProperty("oid").GetUInt32()]} "
                    + string.Join(' ', root.GetProperty("rows").EnumerateArray().Select(row => row.GetString()));
            default:
                return payload;
        }
    }

    static string Table(JsonElement json, Dictionary<uint, string> names)
    {
        var table = json.Deserialize(CoreJson.Default.CatalogTable)!;
        names[table.Oid] = table.Name;
        var identity = table.Identity switch
        {
            ReplicaIdentity.Default => table.KeyColumns.Count > 0 ? "key" : "none",
            ReplicaIdentity.Index => "index",
            ReplicaIdentity.Full => "full",
            _ => "none",
        };
        return $"{(table.Schema == "public" ? "" : table.Schema + ".")}{table.Name}:{identity}[{string.Join(", ", table.Columns.Select(column => $"{column.Name} {column.TypeName}{(column.Rule is null ? "" : " " + Rule(column.Rule))}"))}]";
    }

    static string Rule(ValueRule? rule) => rule switch
    {
        EnumRule labels => $"{{{string.Join(',', labels.Labels.Select(label => label.Label))}}}",
        CompositeRule attributes => $"({string.Join(',', attributes.Attributes.Select(one => one.AttNum + (one.Rule is null ? "" : " " + Rule(one.Rule))))})",
        ArrayRule array => Rule(array.Of) + "[]",
        RangeRule range => $"range of {Rule(range.Of)}",
        MultirangeRule ranges => $"ranges of {Rule(ranges.Of)}",
        _ => "",
    };
}
