using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>The bytes of a commit file:
/// <code>
///  {"format":…,"number":N,"prev":…,"time":…,"writer":…,"signedBy":…, …content…, "check":"SHA-256 of every byte before
/// ',"check"'"}\n
///  where signedBy names a public key, a second line: the Ed25519 signature over the first with its line feed, 128 hex digits\n
/// </code>
/// <c>check</c> lets the newest commit, which no later one vouches for, be told from a damaged or torn one. Whether the key is
/// one to trust is the reader's to decide: <see cref="BackupVault"/>.</summary>
public static class CommitCodec
{
    static ReadOnlySpan<byte> CheckField => ",\"check\":\""u8;
    static ReadOnlySpan<byte> SignedByField => ",\"signedBy\":\""u8;
    const int CheckLength = 64;
    /// <summary>128 hex digits and a line feed.</summary>
    const int SignatureLineLength = 129;
    /// <summary>Names of people's tables as they are, not as \u escapes: never embedded in HTML.</summary>
    static readonly JsonWriterOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    static ReadOnlySpan<byte> LineEnd => "\"}\n"u8;

    /// <param name="key">Signs it; null = nobody does.</param>
    public static byte[] Encode(CommitHead head, CommitContent content, SigningKey? key = null)
    {
        head = head with { SignedBy = key?.Public };
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
        if (key is not null)
        {
            buffer.Write(Encoding.ASCII.GetBytes(Convert.ToHexStringLower(key.Sign(buffer.WrittenSpan))));
            buffer.Write("\n"u8);
        }
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>True when the file ends before its last line does: a create that was cut off.</summary>
    public static bool IsTorn(ReadOnlySpan<byte> file)
    {
        var end = file.IndexOf((byte)'\n');
        // In JSON a quote after a comma begins a name: within a text it would be escaped.
        return end < 0 || (file.Length - end - 1 < SignatureLineLength && file[..end].IndexOf(SignedByField) >= 0);
    }

    /// <exception cref="FormatViolationException">These bytes are not the commit with this number, or a newer
    /// program's.</exception>
    public static Commit Parse(long number, byte[] file)
    {
        var end = file.AsSpan().IndexOf((byte)'\n');
        if (end < 0)
            throw new FormatViolationException($"commit {number} is torn: its first line does not end");
        var line = file.AsMemory(0, end + 1);
        var signature = file.AsSpan(end + 1);
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
        if (head.SignedBy is { } key ? !HasSigned(key, line.Span, signature) : !signature.IsEmpty)
            throw new FormatViolationException(head.SignedBy is null
                ? $"commit {number} is damaged: it is not signed, and something follows its line"
                : $"the signature of commit {number} is not that of the key it names");
        var content = Read(number, line, CoreJson.Default.CommitContent);
        PlausibleContent.Check(content, $"commit {number}");
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

    static bool HasSigned(string key, ReadOnlySpan<byte> line, ReadOnlySpan<byte> signature)
    {
        Span<byte> bytes = stackalloc byte[64];
        return signature.Length == SignatureLineLength && signature[^1] == (byte)'\n'
            // Lower case only: one signature has one spelling, else a changed byte would be none.
            && !signature[..^1].ContainsAnyInRange((byte)'A', (byte)'F')
            && Convert.FromHexString(signature[..^1], bytes, out _, out _) == OperationStatus.Done
            && TrustedKeys.HasSigned(key, line, bytes);
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

    /// <summary>Contents as a list, each as in a commit; those that say nothing are left out.</summary>
    internal static ReadOnlySpan<byte> SaidJson(IEnumerable<CommitContent> contents)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer, Plain))
        {
            json.WriteStartArray();
            foreach (var content in contents)
            {
                var element = JsonSerializer.SerializeToElement(content, CoreJson.Default.CommitContent);
                if (element.EnumerateObject().All(field => IsEmpty(field.Value)))
                    continue;
                json.WriteStartObject();
                CopyFields(json, element);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        return buffer.WrittenSpan;
    }

    /// <summary>Fields with something in them: an empty list or map is not written.</summary>
    static void CopyFields(Utf8JsonWriter json, JsonElement element)
    {
        foreach (var field in element.EnumerateObject())
            if (!IsEmpty(field.Value))
                field.WriteTo(json);
    }

    static bool IsEmpty(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => !value.EnumerateObject().MoveNext(),
        _ => false,
    };

    static byte[] HexOf(ReadOnlySpan<byte> bytes) => Encoding.ASCII.GetBytes(Sha256.Of(bytes).Hex);
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
