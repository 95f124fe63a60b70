using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>The bytes of a commit file:
/// <code>
///  {"format":…,"number":N,"prev":…,"time":…,"writer":…, …content…, "check":"SHA-256 of every byte before
/// ',"check"'"}\n
///  optional second line: a signature over the first; not read yet
/// </code>
/// <c>check</c> lets the newest commit, which no later one vouches for, be told from a damaged or torn one.</summary>
public static class CommitCodec
{
    static ReadOnlySpan<byte> CheckField => ",\"check\":\""u8;
    const int CheckLength = 64;
    /// <summary>Names of people's tables as they are, not as \u escapes: never embedded in HTML.</summary>
    static readonly JsonWriterOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    static ReadOnlySpan<byte> LineEnd => "\"}\n"u8;

    public static byte[] Encode(CommitHead head, CommitContent content)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer, Plain))
        {
            json.WriteStartObject();
            CopyFields(json, JsonSerializer.SerializeToElement(head, CommitJson.Default.CommitHead));
            CopyFields(json, JsonSerializer.SerializeToElement(content, CoreJson.Default.CommitContent));
            json.Flush();
            var check = Sha256.Of(buffer.WrittenSpan);
            json.WriteString("check"u8, check.Hex);
            json.WriteEndObject();
        }
        buffer.Write("\n"u8);
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>True when the file ends before its first line does: a create that was cut off.</summary>
    public static bool IsTorn(ReadOnlySpan<byte> file) => !file.Contains((byte)'\n');

    /// <exception cref="FormatViolationException">These bytes are not the commit with this number, or a newer
    /// program's.</exception>
    public static Commit Parse(long number, byte[] file)
    {
        var end = file.AsSpan().IndexOf((byte)'\n');
        if (end < 0)
            throw new FormatViolationException($"commit {number} is torn: its first line does not end");
        var line = file.AsMemory(0, end + 1);
        var body = line.Length - LineEnd.Length - CheckLength - CheckField.Length;
        if (body <= 0
            || !line.Span[body..].StartsWith(CheckField)
            || !line.Span.EndsWith(LineEnd)
            || !line.Span.Slice(body + CheckField.Length, CheckLength).SequenceEqual(HexOf(line.Span[..body])))
            throw new FormatViolationException($"commit {number} is damaged: its bytes do not match their own check");
        var head = Read(number, line, CommitJson.Default.CommitHead);
        VaultFold.RefuseNewer(head.Format, $"commit {number}");
        if (head.Number != number)
            throw new FormatViolationException($"the file of commit {number} holds commit {head.Number}");
        var content = Read(number, line, CoreJson.Default.CommitContent);
        foreach (var segment in content.Add)
            VaultPath.Check(segment.Path);
        return new Commit(number, Sha256.Of(file), head.Prev, file.Length, head, content);
    }

    /// <summary>For those who can do without: false when the bytes are damaged, or another commit's.</summary>
    public static bool TryParse(long number, byte[] file, [NotNullWhen(true)] out Commit? commit)
    {
        try
        {
            commit = Parse(number, file);
            return true;
        }
        catch (FormatViolationException)
        {
            commit = null;
            return false;
        }
    }

    static T Read<T>(long number, ReadOnlyMemory<byte> line, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(line.Span, type)
                ?? throw new FormatViolationException($"commit {number} is null");
        }
        catch (JsonException failure)
        {
            throw new FormatViolationException($"commit {number} cannot be read: {failure.Message}", failure);
        }
    }

    /// <summary>Fields with something in them: an empty list or map is not written.</summary>
    static void CopyFields(Utf8JsonWriter json, JsonElement element)
    {
        foreach (var field in element.EnumerateObject())
        {
            var empty = field.Value.ValueKind switch
            {
                JsonValueKind.Array => field.Value.GetArrayLength() == 0,
                JsonValueKind.Object => !field.Value.EnumerateObject().MoveNext(),
                _ => false,
            };
            if (!empty)
                field.WriteTo(json);
        }
    }

    static byte[] HexOf(ReadOnlySpan<byte> bytes) => System.Text.Encoding.ASCII.GetBytes(Sha256.Of(bytes).Hex);
}

/// <summary>Strict where <see cref="CoreJson"/> is lenient: what a commit says of itself must all be there.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    Converters = [typeof(LsnJson), typeof(Sha256Json), typeof(SourceTimeJson)])]
[JsonSerializable(typeof(CommitHead))]
[JsonSerializable(typeof(VaultIdentity))]
sealed partial class CommitJson : JsonSerializerContext;
