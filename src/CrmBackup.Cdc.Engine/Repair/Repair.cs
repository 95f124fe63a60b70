using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>A base that is made by difference: the table as the vault last knew it is compared with the source, one part of its keys after
/// the other, and only ranges that differ are read.
/// <para>What comes of it is a base like any other, in segments of its own: rows that were equal are written once more, from the vault's own
/// past. So nothing that reads a vault knows of repairs, and no base ever rests on an older one. Each part is tied to the snapshot under
/// which it was compared and read (rules 4, 5). The past itself need not be right: whatever is taken from it, the source has said under that
/// snapshot that it has the same.</para></summary>
/// <param name="past">Where the vault last knew the table.</param>
/// <param name="column">Attnum of the key column that ranges are of.</param>
/// <param name="from">Where the next part begins; null = at the lowest key.</param>
sealed class Repair(Position past, short column, string? from) : IDisposable
{
    long _place;
    (KeyRanges Ranges, ComparedPart Part, long Next)? _part;

    public Position Past => past;

    public short Column => column;

    public string? From { get; private set; } = from;

    /// <summary>Null until it is folded.</summary>
    public PastRows? Rows { get; set; }

    /// <summary>Being folded, or not begun.</summary>
    public bool IsFolding { get; set; }

    /// <summary>The part that comes next; the same until it is <see cref="Done"/>.</summary>
    public (KeyRanges Ranges, ComparedPart Part) Next(int rowsMax)
    {
        if (_part is null)
        {
            var (ranges, next) = Rows!.Part(_place, rowsMax);
            var expected = ranges.Select((range, index) => new ExpectedRange(index == 0 ? null : Rows.KeyOf(range), range.Rows, range.Hash));
            _part = (new KeyRanges(column, From, ranges.Count == 0 ? null : Rows.LimitAt(next), [.. expected], rowsMax), new ComparedPart(Rows, ranges), next);
        }
        return (_part.Value.Ranges, _part.Value.Part);
    }

    public void Done(ComparedKeys compared)
    {
        _place = _part!.Value.Next;
        (_part, From) = (null, compared.To);
    }

    /// <summary>True when the rows of the other would do.</summary>
    public bool Needs(Repair other) => (Rows, Past, Column, From) == (null, other.Past, other.Column, other.From);

    public void Dispose() => Rows?.Dispose();
}

/// <summary>The ranges of one order, to be taken from the past where the source has the same.</summary>
sealed record ComparedPart(PastRows Past, IReadOnlyList<PastRows.Range> Ranges);
