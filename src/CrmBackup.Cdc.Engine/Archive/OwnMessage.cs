using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What our functions in the source say, inside the transaction that did it. The keyed hash was checked by capture.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "is")]
[JsonDerivedType(typeof(DdlMessage), "ddl")]
[JsonDerivedType(typeof(RewriteMessage), "rewrite")]
[JsonDerivedType(typeof(RewrittenRowsMessage), "rows")]
[JsonDerivedType(typeof(MarkMessage), "mark")]
[JsonDerivedType(typeof(BarrierMessage), "barrier")]
abstract record OwnMessage
{
    /// <summary>The content is <c>mac ordinal payload</c>.</summary>
    public static OwnMessage Parse(ReadOnlySpan<byte> content)
    {
        var afterMac = content.IndexOf((byte)' ');
        var afterOrdinal = afterMac < 0 ? -1 : content[(afterMac + 1)..].IndexOf((byte)' ');
        if (afterOrdinal < 0)
            throw new FormatViolationException("a message of ours has no payload");
        try
        {
            return JsonSerializer.Deserialize(content[(afterMac + afterOrdinal + 2)..], OwnMessageJson.Default.OwnMessage)
                ?? throw new FormatViolationException("a message of ours is null");
        }
        catch (JsonException failure)
        {
            throw new FormatViolationException($"a message of ours cannot be read: {failure.Message}", failure);
        }
    }
}

/// <summary>A DDL command ended.</summary>
/// <param name="Command">The command tag, for example ALTER TABLE.</param>
/// <param name="Tables">The image of every table it touched, after the command.</param>
/// <param name="Dropped">OIDs of the tables it dropped.</param>
sealed record DdlMessage(
    string Command, IReadOnlyList<CatalogTable>? Tables, IReadOnlyList<uint>? Dropped, bool SchemaChanged) : OwnMessage;

/// <summary>A table was rewritten. When re-emitted, its rows follow; else they are unknown from here on.</summary>
sealed record RewriteMessage(CatalogTable Table, bool Reemitted, string? Reason) : OwnMessage;

/// <summary>Rows of a rewritten table, each as <c>row::text</c>.</summary>
sealed record RewrittenRowsMessage(uint Oid, IReadOnlyList<string> Rows) : OwnMessage;

sealed record MarkMessage(string Name, bool Before) : OwnMessage;

sealed record BarrierMessage(string Id) : OwnMessage;

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true,
    AllowOutOfOrderMetadataProperties = true)]
[JsonSerializable(typeof(OwnMessage))]
sealed partial class OwnMessageJson : JsonSerializerContext;
