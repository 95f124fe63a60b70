namespace CrmBackup.Cdc.Cli;

/// <summary>What a mistyped word was probably meant to be.</summary>
static class Nearest
{
    /// <summary>The known word that fewest single-letter edits lead to; the last part alone may match too ("conection" → "source.connection").</summary>
    public static string To(string word, IEnumerable<string> known) =>
        known.MinBy(candidate => Math.Min(
            Edits(word, candidate), 1 + Edits(word[(word.LastIndexOf('.') + 1)..], candidate[(candidate.LastIndexOf('.') + 1)..])))!;

    /// <summary>Levenshtein's distance, letters of either case being equal.</summary>
    static int Edits(string from, string to)
    {
        var row = Enumerable.Range(0, to.Length + 1).ToArray();
        for (var i = 1; i <= from.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= to.Length; j++)
            {
                var same = char.ToLowerInvariant(from[i - 1]) == char.ToLowerInvariant(to[j - 1]) ? 0 : 1;
                (diagonal, row[j]) = (row[j], Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + same));
            }
        }
        return row[^1];
    }
}
