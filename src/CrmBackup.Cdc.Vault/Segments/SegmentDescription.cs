using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Whose segment it is.</summary>
public sealed record SegmentOrigin(Guid Vault, VaultFormat Format, ulong SystemIdentifier, uint Timeline);

/// <summary>One user column of a table segment: where its values stand in the file.</summary>
/// <param name="AttNum">The column's number in the source's catalog.</param>
/// <param name="Column">Its name in the file: the user's own, unless that was taken.</param>
/// <param name="Twin">How the typed value is written.</param>
/// <param name="OldColumn">Where the value before the event stands: key columns of changes segments.</param>
public sealed record SegmentColumn(short AttNum, string Column, string Twin, string? OldColumn = null)
{
    /// <summary>The columns that a segment of this kind and shape has, in the order of the tuples.</summary>
    public static IReadOnlyList<SegmentColumn> Of(SegmentKind kind, RelationShape shape) => TableLayout.New(kind, shape).Columns;

    /// <summary>The columns of rows of this shape, wherever they are shown.</summary>
    public static IReadOnlyList<SegmentColumn> Of(RelationShape shape) => Of(SegmentKind.Base, shape);
}

/// <summary>What a segment says about itself, as JSON under the key <c>crmbackup</c> of its Parquet key-value metadata:
/// with it a lone file can be taken back into a vault whose commits are gone.</summary>
/// <param name="Relations">The shapes that its tuples follow.</param>
/// <param name="Columns">Of table segments, in the order of the tuples.</param>
/// <param name="Base">Of base segments: the chunk, with its snapshot.</param>
/// <param name="Link">Of segments of events: where they stand in the history.</param>
/// <param name="Said">What commits up to there said beside their segments (<see cref="SaidText"/>); of a settle job, in its last part.</param>
public sealed record SegmentDescription(
    SegmentOrigin Origin, SegmentKind Kind, int Relation, int Shape, int BaseId, int Chunk, long Rows, Sha256 ContentHash,
    Lsn First, Lsn Last, SourceTime? FirstTime, SourceTime? LastTime, ulong MaxXid,
    IReadOnlyList<RelationShape> Relations, IReadOnlyList<SegmentColumn>? Columns = null, BaseChunk? Base = null,
    SegmentLink? Link = null, string? Said = null)
{
    public const string Key = "crmbackup";

    const string CheckField = ",\"check\":\"";

    /// <summary>Ends with the SHA-256 of every byte before the comma in front of it: a carved file vouches for its own description.</summary>
    public string ToJson()
    {
        var body = JsonSerializer.Serialize(this, SegmentJson.Default.SegmentDescription)[..^1];
        return $"{body}{CheckField}{Sha256.Of(Encoding.UTF8.GetBytes(body))}\"}}";
    }

    /// <summary>Absent in segments of a version without it.</summary>
    static bool IsDamaged(string json) => json.LastIndexOf(CheckField, StringComparison.Ordinal) is >= 0 and var at
        && json[(at + CheckField.Length)..] != $"{Sha256.Of(Encoding.UTF8.GetBytes(json[..at]))}\"}}";

    public static SegmentDescription Parse(string file, IReadOnlyDictionary<string, string>? metadata)
    {
        if (metadata is null || !metadata.TryGetValue(Key, out var json))
            throw new FormatViolationException($"{file} is a Parquet file, but not a segment: it does not describe itself");
        return Parse(file, json);
    }

    public static SegmentDescription Parse(string file, string json)
    {
        if (IsDamaged(json))
            throw new FormatViolationException($"the description of {file} is damaged: it does not match its own check");
        try
        {
            return JsonSerializer.Deserialize(json, SegmentJson.Default.SegmentDescription) is { Origin.Format: not null, Relations: not null } said
                && Enum.IsDefined(said.Kind) && said.Relations.All(PlausibleContent.IsWhole)
                ? said : throw new FormatViolationException($"the description of {file} is not whole");
        }
        catch (JsonException failure)
        {
            throw new FormatViolationException($"the description of {file} cannot be read: {failure.Message}", failure);
        }
    }

    /// <summary>The entry a commit would name the file with.</summary>
    public SegmentEntry ToEntry(string path, long bytes, Sha256 fileHash) =>
        new(path, Kind, Relation, Shape, BaseId, Chunk, bytes, Rows, fileHash, ContentHash, First, Last, FirstTime, LastTime, MaxXid,
            Origin.Timeline);
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(LsnJson), typeof(Sha256Json), typeof(SourceTimeJson)])]
[JsonSerializable(typeof(SegmentDescription))]
sealed partial class SegmentJson : JsonSerializerContext;
