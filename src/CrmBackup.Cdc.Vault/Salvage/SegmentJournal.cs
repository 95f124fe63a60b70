using System.Text.Json;
using CrmBackup.Cdc.Core;
using ZstdSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>Where a segment of events stands in the vault's history, for the day when no commit is left to say it. Log segments name
/// the one before; changes segments name the run of log segments that their settle job replaced.</summary>
/// <param name="Before">Content hash of the log segment before the (first) one; null at the vault's beginning.</param>
/// <param name="Through">Of changes segments: content hash of the last log segment that was settled into them.</param>
/// <param name="Job">Of changes segments: the settle job, whose parts only together hold what the log segments held.</param>
/// <param name="Part">From 1, in order of completion.</param>
/// <param name="Parts">How many there are: said by the last alone; 0 in the others.</param>
public sealed record SegmentLink(Sha256? Before, Sha256? Through = null, string? Job = null, int Part = 0, int Parts = 0);

/// <summary>What commits say beside their segments (shapes, bases, gaps, schemas, marks, sequences), carried along in the segments of
/// events: JSON of a list of commit contents, Zstandard, Base64.</summary>
public static class SaidText
{
    /// <returns>Null when nothing is said.</returns>
    public static string? Encode(IEnumerable<CommitContent> contents)
    {
        var json = CommitCodec.SaidJson(contents.Select(WithoutSegments));
        if (json.SequenceEqual("[]"u8))
            return null;
        using var compressor = new Compressor(level: 3);
        return Convert.ToBase64String(compressor.Wrap(json));
    }

    /// <exception cref="FormatViolationException">Not what was written.</exception>
    public static IReadOnlyList<CommitContent> Decode(string? said)
    {
        if (said is null)
            return [];
        try
        {
            using var decompressor = new Decompressor();
            var packed = Convert.FromBase64String(said);
            var contents = JsonSerializer.Deserialize(decompressor.Unwrap(packed, CheckpointStore.UnpackedMax(packed.Length)), CoreJson.Default.CommitContentArray)
                ?? throw new FormatViolationException("what a segment says of its history is null");
            foreach (var content in contents)
                PlausibleContent.Check(content, "what a segment says of its history");
            return contents;
        }
        catch (Exception failure) when (failure is ZstdException or JsonException or FormatException)
        {
            throw new FormatViolationException($"what a segment says of its history cannot be read: {failure.Message}", failure);
        }
    }

    /// <summary>What a commit's content leaves to say when its segments speak for themselves.</summary>
    public static CommitContent WithoutSegments(CommitContent content) =>
        content with { Add = [], Remove = [], CoveredTo = null, SettledTo = null, Parity = null };
}
