using System.Text.Json;
using System.Text.Json.Serialization;

namespace CrmBackup.Cdc.Core;

/// <summary>The JSON of every document of ours: camelCase, enums as words, LSNs as 0/1A2B3C4, hashes as hex, unknown fields ignored.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    // A jsonb of the source sorts its keys.
    AllowOutOfOrderMetadataProperties = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(LsnJson), typeof(Sha256Json), typeof(SourceTimeJson)])]
[JsonSerializable(typeof(ControlEntry))]
[JsonSerializable(typeof(ArchiveRequest))]
[JsonSerializable(typeof(CommitContent))]
[JsonSerializable(typeof(CommitContent[]))]
[JsonSerializable(typeof(VaultState))]
[JsonSerializable(typeof(VaultIdentity))]
[JsonSerializable(typeof(CatalogTable))]
[JsonSerializable(typeof(RelationShape))]
public sealed partial class CoreJson : JsonSerializerContext;

public sealed class LsnJson : JsonConverter<Lsn>
{
    public override Lsn Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        Lsn.TryParse(reader.GetString(), out var lsn) ? lsn : throw new JsonException("not an LSN");

    public override void Write(Utf8JsonWriter writer, Lsn value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.ToString());
}

public sealed class Sha256Json : JsonConverter<Sha256>
{
    public override Sha256 Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.GetString() is { Length: 64 } hex && hex.All(char.IsAsciiHexDigitLower)
            ? new Sha256(hex) : throw new JsonException("not a SHA-256 of 64 lower-case hex digits");

    public override void Write(Utf8JsonWriter writer, Sha256 value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.Hex);
}

/// <summary>Microseconds since 1970-01-01 UTC, as a number: exact, and sortable by any reader.</summary>
public sealed class SourceTimeJson : JsonConverter<SourceTime>
{
    public override SourceTime Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        new(reader.GetInt64());

    public override void Write(Utf8JsonWriter writer, SourceTime value, JsonSerializerOptions options) =>
        writer.WriteNumberValue(value.UnixMicroseconds);
}
