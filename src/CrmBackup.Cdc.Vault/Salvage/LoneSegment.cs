using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>A segment that is found somewhere, without a commit: judged by what it says of itself alone.</summary>
/// <param name="Where">File, or image and offset: for people.</param>
/// <param name="Description">Null when not even that can be read.</param>
/// <param name="Damage">Why it is not proven; null when its content has the hash that it names.</param>
/// <param name="FileHash">Of a proven one.</param>
/// <param name="Tables">What it holds, as far as it could be read.</param>
public sealed record LoneSegment(
    string Where, long Bytes, SegmentDescription? Description, string? Damage, Sha256 FileHash, IReadOnlyList<LoneTable> Tables)
{
    public bool Proven => Damage is null;

    /// <summary>Equal for copies of one segment.</summary>
    public static object Identity(LoneSegment segment) => segment.Description is { } said
        ? (said.Origin.Vault, said.Kind, said.Relation, said.BaseId, said.Chunk, said.ContentHash, said.Link) : segment.Where;
}

/// <param name="First">Some rows or events as text.</param>
public sealed record LoneTable(int Relation, string Table, long Rows, IReadOnlyList<string> First);

/// <summary>Reads lone segments whole, and holds their content against the hash in their description.</summary>
public static class LoneSegmentReader
{
    /// <summary>A footer holds at most the shapes of all tables and what commits said.</summary>
    const int FooterBytesMax = 64 << 20;

    public static ReadOnlySpan<byte> Magic => "PAR1"u8;

    /// <param name="open">The bytes from the file's first to its last; opened several times.</param>
    /// <param name="firstRows">How many rows of each table to keep as text.</param>
    public static LoneSegment Examine(Func<Stream> open, string where, int firstRows)
    {
        long bytes;
        using (var stream = open())
            bytes = stream.Length;
        try
        {
            using var file = SegmentFile.OpenAlone(open(), where);
            var tables = new SortedDictionary<int, Sample>();
            using var tally = new EventTally();
            if (file.Description.Kind == SegmentKind.Base)
                foreach (var row in file.ReadRows())
                {
                    tally.AddRow(row.Span);
                    Of(tables, file.Description, file.Description.Relation).Take(EventKind.Insert, file.Description.Shape, row.Span, firstRows);
                }
            else
                foreach (var change in file.ReadEvents())
                {
                    tally.Add(change);
                    Of(tables, file.Description, change.Relation).Take(
                        change.Kind, change.Shape, change.NewTuple.IsEmpty ? change.OldTuple.Span : change.NewTuple.Span, firstRows);
                }
            var damage = tally.Rows == file.Description.Rows && tally.ContentHash() == file.Description.ContentHash
                ? null : $"holds {tally.Rows} rows that are not the {file.Description.Rows} it was written with";
            return new LoneSegment(where, bytes, file.Description, damage, damage is null ? HashOf(open) : Sha256.Zero,
                [.. tables.Select(table => table.Value.Told(table.Key))]);
        }
        // Not only named errors: bytes that are no Parquet fail in every way, and are only to be called damaged.
        catch (Exception failure) when (failure is not (OperationCanceledException or OutOfMemoryException))
        {
            return new LoneSegment(where, bytes, TryDescribe(open, where), failure.Message.ReplaceLineEndings(" "), Sha256.Zero, []);
        }
    }

    /// <summary>The description in a footer whose file cannot be read any more; null when none is whole.</summary>
    /// <param name="footer">Bytes of Thrift's compact encoding with our key-value pair somewhere in them.</param>
    public static SegmentDescription? DescriptionIn(ReadOnlySpan<byte> footer, string where)
    {
        // A KeyValue: field 1 (0x18), length and key; field 2 (0x18), length and value.
        ReadOnlySpan<byte> key = [0x18, (byte)SegmentDescription.Key.Length, .. Encoding.ASCII.GetBytes(SegmentDescription.Key), 0x18];
        for (var at = footer.IndexOf(key); at >= 0; at = footer.IndexOf(key))
        {
            footer = footer[(at + key.Length)..];
            if (TryVarint(footer, out var length, out var used) && length <= footer.Length - used)
                try
                {
                    return SegmentDescription.Parse(where, Encoding.UTF8.GetString(footer.Slice(used, length)));
                }
                catch (FormatViolationException)
                {
                    // Another occurrence may be the whole one.
                }
        }
        return null;
    }

    /// <summary>The length of a footer from a file's last eight bytes; null when they end no Parquet file.</summary>
    public static int? FooterLength(ReadOnlySpan<byte> lastEight) =>
        lastEight[4..].SequenceEqual(Magic) && BinaryPrimitives.ReadInt32LittleEndian(lastEight) is > 16 and <= FooterBytesMax and var length ? length : null;

    static SegmentDescription? TryDescribe(Func<Stream> open, string where)
    {
        using var stream = open();
        if (stream.Length < 12)
            return null;
        Span<byte> end = stackalloc byte[8];
        stream.Position = stream.Length - 8;
        stream.ReadExactly(end);
        if (FooterLength(end) is not { } length || length > stream.Length - 8)
            return null;
        var footer = new byte[length];
        stream.Position = stream.Length - 8 - length;
        stream.ReadExactly(footer);
        return DescriptionIn(footer, where);
    }

    static bool TryVarint(ReadOnlySpan<byte> bytes, out int value, out int used)
    {
        (value, used) = (0, 0);
        while (used < bytes.Length && used < 5)
        {
            value |= (bytes[used] & 0x7F) << (7 * used);
            if (bytes[used++] < 0x80)
                return value >= 0;
        }
        return false;
    }

    static Sha256 HashOf(Func<Stream> open)
    {
        using var stream = open();
        return Sha256.From(SHA256.HashData(stream));
    }

    static Sample Of(SortedDictionary<int, Sample> tables, SegmentDescription description, int relation)
    {
        if (!tables.TryGetValue(relation, out var table))
            tables.Add(relation, table = new Sample(description));
        return table;
    }

    sealed class Sample(SegmentDescription description)
    {
        const int TextLengthMax = 60;
        readonly List<string> _first = [];
        long _rows;
        string? _name;

        public void Take(EventKind kind, int shape, ReadOnlySpan<byte> tuple, int firstRows)
        {
            _rows++;
            if (_name is not null && _first.Count >= firstRows)
                return;
            // Within a segment a relation has few shapes.
            var found = description.Relations.FirstOrDefault(known => known.Version == shape && (known.Number == description.Relation || description.Kind == SegmentKind.Log));
            _name ??= found?.FullName;
            if (_first.Count < firstRows)
                _first.Add($"{(char)kind} {Text(tuple)}");
        }

        public LoneTable Told(int relation) =>
            new(relation, relation == 0 ? "messages" : description.Relations.FirstOrDefault(known => known.Number == relation)?.FullName ?? $"relation {relation}", _rows, _first);

        static string Text(ReadOnlySpan<byte> tuple)
        {
            if (tuple.IsEmpty)
                return "";
            var reader = new TupleReader(tuple);
            var texts = new List<string>();
            for (var i = 0; i < reader.Count; i++)
                texts.Add(reader.Next(out var text) switch
                {
                    ColumnState.Null => "NULL",
                    ColumnState.Unchanged => "(unchanged)",
                    _ => Shown(Encoding.UTF8.GetString(text)),
                });
            return string.Join(" | ", texts);
        }

        /// <summary>What stands in a vault must not reach the terminal as it is.</summary>
        static string Shown(string text)
        {
            var cut = text.Length > TextLengthMax ? text[..TextLengthMax] + "…" : text;
            return string.Concat(cut.Select(letter => char.IsControl(letter) ? '?' : letter));
        }
    }
}
