using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What our functions in the source say, inside the transaction that did it. The keyed hash was checked by capture.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "is")]
[JsonDerivedType(typeof(DdlMessage), "ddl")]
[JsonDerivedType(typeof(RewriteMessage), "rewrite")]
[JsonDerivedType(typeof(RewrittenRowsMessage), "rows")]
[JsonDerivedType(typeof(ChangedRowMessage), "change")]
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
            return JsonSerializer.Deserialize(content[(afterMac + afterOrdinal + 2)..], OwnMessageJson.Default.OwnMessage) switch
            {
                null => throw new FormatViolationException("a message of ours is null"),
                DdlMessage { Command: null } => throw new FormatViolationException("a message of ours tells of no command"),
                var message => message,
            };
        }
        // Not supported: it does not say which one it is.
        catch (Exception failure) when (failure is JsonException or NotSupportedException)
        {
            throw new FormatViolationException($"a message of ours cannot be read: {failure.Message}", failure);
        }
    }
}

/// <summary>A DDL command ended.</summary>
/// <param name="Command">The command tag, for example ALTER TABLE.</param>
/// <param name="Tables">The image of every protected table it touched, after the command.</param>
/// <param name="Created">OIDs of the tables it made.</param>
/// <param name="Dropped">OIDs of the tables it dropped.</param>
/// <param name="Unprotected">OIDs of tables that left the publication.</param>
/// <param name="Renames">It may have renamed, moved or dropped what a value names. True when nobody said otherwise.</param>
/// <param name="Incomplete">Why the command could not be described; null when it was.</param>
/// <param name="Schema">The definitions of what it touched; null from functions of an older version.</param>
sealed record DdlMessage(
    string Command, bool SchemaChanged, IReadOnlyList<CatalogTable>? Tables = null, IReadOnlyList<uint>? Created = null,
    IReadOnlyList<uint>? Dropped = null, IReadOnlyList<uint>? Unprotected = null, string? Incomplete = null, bool Renames = true,
    SchemaChange? Schema = null) : OwnMessage;

/// <summary>A table was rewritten. When re-emitted, its rows follow; else they are unknown from here on.</summary>
sealed record RewriteMessage(CatalogTable Table, bool Reemitted, string? Reason) : OwnMessage;

/// <summary>Rows of a rewritten table, each as the record text of its non-generated columns in attnum order.</summary>
sealed record RewrittenRowsMessage(uint Oid, IReadOnlyList<string> Rows) : OwnMessage;

/// <summary>An update or delete that the stream does not carry, told by a trigger: both rows whole, as in <see cref="RewrittenRowsMessage"/>.</summary>
/// <param name="New">Null: deleted.</param>
sealed record ChangedRowMessage(uint Oid, string Old, string? New) : OwnMessage;

sealed record MarkMessage(string Name, bool Before) : OwnMessage;

sealed record BarrierMessage(string Id) : OwnMessage;

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true,
    AllowOutOfOrderMetadataProperties = true)]
[JsonSerializable(typeof(OwnMessage))]
sealed partial class OwnMessageJson : JsonSerializerContext;
