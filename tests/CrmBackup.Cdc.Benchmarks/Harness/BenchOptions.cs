using System.Globalization;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>What the command line says.</summary>
/// <param name="Crmbackup">The published program.</param>
/// <param name="Rows">In the order they are taken.</param>
/// <param name="Scale">Of rows and row changes; below 1 nothing counts.</param>
sealed record BenchOptions(string Crmbackup, IReadOnlyList<string> Rows, double Scale, int Samples, string? Json)
{
    public const int SamplesMin = 3;

    public bool IsWhole => Scale >= 1 && Samples >= SamplesMin;

    public int Scaled(int whole) => Math.Max(1, (int)(whole * Scale));

    /// <returns>Null when the command line is wrong; what is wrong has been said.</returns>
    public static BenchOptions? Parse(string[] arguments, IReadOnlyCollection<string> known)
    {
        var rows = new List<string>();
        var (program, scale, samples, json) = ("", 1.0, SamplesMin, (string?)null);
        for (var i = 0; i < arguments.Length; i++)
        {
            var value = i + 1 < arguments.Length ? arguments[i + 1] : "";
            switch (arguments[i])
            {
                case "--crmbackup": (program, i) = (value, i + 1); break;
                case "--json": (json, i) = (value, i + 1); break;
                case "--scale" when double.TryParse(value, CultureInfo.InvariantCulture, out scale) && scale > 0: i++; break;
                case "--samples" when int.TryParse(value, out samples) && samples > 0: i++; break;
                case var row when known.Contains(row): rows.Add(row); break;
                case var other:
                    Console.Error.WriteLine($"unknown or incomplete: '{other}'; there are --scale X, --samples N, --json FILE, and the rows {string.Join(' ', known)}");
                    return null;
            }
        }
        return new BenchOptions(program, rows.Count > 0 ? rows : [.. known], scale, samples, json);
    }
}
