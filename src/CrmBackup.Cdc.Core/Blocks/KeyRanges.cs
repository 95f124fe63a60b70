namespace CrmBackup.Cdc.Core;

/// <summary>A part of a table to be compared before it is read, under one snapshot: which ranges of keys hold what the archive has already.
/// Keys are canonical texts of one column of the replica identity, whose type both sides order alike (<see cref="OrderedKey"/>).</summary>
/// <param name="Column">Attnum.</param>
/// <param name="From">Inclusive; null = from the lowest.</param>
/// <param name="To">Exclusive; null = to the highest.</param>
/// <param name="Expected">Without a hole from <paramref name="From"/> to <paramref name="To"/>; empty: nothing is expected, all is read.</param>
/// <param name="RowsMax">Without <paramref name="To"/>: about so many rows are read, and the answer says where it ended.</param>
public sealed record KeyRanges(short Column, string? From, string? To, IReadOnlyList<ExpectedRange> Expected, int RowsMax);

/// <summary>What the archive has from a key on, up to where the next range begins.</summary>
/// <param name="From">Null, in the first only: where the part begins.</param>
/// <param name="Hash">Of its rows, by <see cref="RangeHasher"/>.</param>
public sealed record ExpectedRange(string? From, long Rows, Sha256 Hash);

/// <summary>The answer to <see cref="KeyRanges"/>.</summary>
/// <param name="Copied">Places, in what was expected, of the ranges that differed: their rows were sent. All others are equal.</param>
/// <param name="To">Exclusive: where it ended; null = at the highest key.</param>
public sealed record RangesRead(IReadOnlyList<int> Copied, string? To);

/// <summary>How a chunk of a base was made where most of it was in the vault already: it holds all rows of the keys, as its snapshot saw
/// them, whichever way they came.</summary>
/// <param name="Column">Attnum of the keys.</param>
/// <param name="From">Inclusive; null = from the lowest.</param>
/// <param name="To">Exclusive; null = to the highest.</param>
/// <param name="Ranges">Compared with the source.</param>
/// <param name="Differing">Of these.</param>
/// <param name="RowsCopied">Read from the source.</param>
public sealed record ComparedKeys(short Column, string? From, string? To, int Ranges, int Differing, long RowsCopied);
