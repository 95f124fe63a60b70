using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Builds the small JSON of a row's <c>_exceptions</c> and <c>_unchanged</c>. Without a limit on a value's length.
/// <code>
///  _exceptions  {"column": "exact canonical text", "column": {"hex": "bytes that are not UTF-8"}}
///  _unchanged   ["column", …]
/// </code></summary>
sealed class JsonText
{
    byte[] _buffer = new byte[256];
    int _length;

    public bool IsEmpty => _length == 0;

    /// <summary>Starts anew.</summary>
    public void Begin() => _length = 0;

    public void AddException(ReadOnlySpan<byte> column, ReadOnlySpan<byte> text)
    {
        Put(IsEmpty ? "{"u8 : ","u8);
        Quoted(column);
        Put(":"u8);
        if (Utf8.IsValid(text))
            Quoted(text);
        else
        {
            Put("{\"hex\":\""u8);
            var room = Room(checked(text.Length * 2));
            Convert.TryToHexStringLower(text, room, out var written);
            _length += written;
            Put("\"}"u8);
        }
    }

    public void AddName(ReadOnlySpan<byte> column)
    {
        Put(IsEmpty ? "["u8 : ","u8);
        Quoted(column);
    }

    /// <summary>Valid until the next <see cref="Begin"/>.</summary>
    public ReadOnlySpan<byte> End()
    {
        Put(_buffer[0] == (byte)'{' ? "}"u8 : "]"u8);
        return _buffer.AsSpan(0, _length);
    }

    /// <summary>Column name to exact text.</summary>
    public static Dictionary<string, byte[]> ReadExceptions(ReadOnlySpan<byte> json)
    {
        var exceptions = new Dictionary<string, byte[]>();
        try
        {
            var reader = new Utf8JsonReader(json);
            reader.Read();
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var column = reader.GetString()!;
                reader.Read();
                exceptions.Add(column, reader.TokenType == JsonTokenType.String ? Unescaped(ref reader) : Hex(ref reader));
            }
        }
        catch (Exception failure) when (failure is JsonException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw new FormatViolationException($"a row's _exceptions cannot be read: {failure.Message}", failure);
        }
        return exceptions;
    }

    public static List<string> ReadNames(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, NamesJson.Default.ListString)
                ?? throw new FormatViolationException("a row's _unchanged is null");
        }
        catch (JsonException failure)
        {
            throw new FormatViolationException($"a row's _unchanged cannot be read: {failure.Message}", failure);
        }
    }

    static byte[] Unescaped(ref Utf8JsonReader reader)
    {
        if (!reader.ValueIsEscaped)
            return reader.ValueSpan.ToArray();
        var text = new byte[reader.ValueSpan.Length];
        return text[..reader.CopyString(text)];
    }

    static byte[] Hex(ref Utf8JsonReader reader)
    {
        reader.Read();
        reader.Read();
        var bytes = Convert.FromHexString(Encoding.ASCII.GetString(reader.ValueSpan));
        reader.Read();
        return bytes;
    }

    void Quoted(ReadOnlySpan<byte> text)
    {
        Put("\""u8);
        while (!text.IsEmpty)
        {
            var plain = text.IndexOfAny(Special);
            Put(plain < 0 ? text : text[..plain]);
            if (plain < 0)
                break;
            Escaped(text[plain]);
            text = text[(plain + 1)..];
        }
        Put("\""u8);
    }

    void Escaped(byte special)
    {
        if (special is (byte)'"' or (byte)'\\')
        {
            Put("\\"u8);
            Put([special]);
            return;
        }
        Put("\\u00"u8);
        Put([(byte)"0123456789abcdef"[special >> 4], (byte)"0123456789abcdef"[special & 15]]);
    }

    void Put(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Room(bytes.Length));
        _length += bytes.Length;
    }

    Span<byte> Room(int length)
    {
        var needed = checked(_length + length);
        if (needed > _buffer.Length)
            Array.Resize(ref _buffer, (int)Math.Min(Array.MaxLength, Math.Max(needed, _buffer.Length * 2L)));
        return _buffer.AsSpan(_length);
    }

    static readonly System.Buffers.SearchValues<byte> Special = System.Buffers.SearchValues.Create(
        [.. Enumerable.Range(0, 32).Select(control => (byte)control), (byte)'"', (byte)'\\']);
}

[System.Text.Json.Serialization.JsonSerializable(typeof(List<string>))]
sealed partial class NamesJson : System.Text.Json.Serialization.JsonSerializerContext;
