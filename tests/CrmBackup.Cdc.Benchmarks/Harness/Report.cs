using System.Globalization;
using System.Text.Json;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>What must be reached: a ratio or an amount, at least or at most.</summary>
readonly record struct Limit(double Value, bool AtLeast)
{
    public static Limit Least(double value) => new(value, true);
    public static Limit Most(double value) => new(value, false);

    public bool IsMet(double value) => AtLeast ? value >= Value : value <= Value;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{(AtLeast ? "≥" : "≤")} {Value:0.##}");
}

/// <summary>One number that a row of the table promises; its median counts. Without a limit it is only told.</summary>
sealed record Figure(string Row, string What, string Unit, IReadOnlyList<double> Samples, Limit? Limit)
{
    public double Median
    {
        get
        {
            var sorted = Samples.Order().ToList();
            var middle = sorted.Count / 2;
            return sorted.Count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
        }
    }

    public bool IsMissed => Limit is { } limit && !limit.IsMet(Median);
}

/// <summary>Gathers figures; prints them as a table and writes them as JSON.</summary>
sealed class Report(BenchOptions options)
{
    static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };
    readonly List<Figure> _figures = [];

    public string Machine { get; set; } = "";

    /// <summary>A scaled run reaches nothing: it only shows that the row works.</summary>
    public bool HasMissed => options.IsWhole && _figures.Any(figure => figure.IsMissed);

    public void Add(string row, string what, string unit, IEnumerable<double> samples, Limit? limit = null)
    {
        var figure = new Figure(row, what, unit, [.. samples], limit);
        _figures.Add(figure);
        Console.WriteLine($"  {row}: {what}: {Raw(figure)}");
    }

    public void Print()
    {
        Console.WriteLine();
        Console.WriteLine($"Machine: {Machine}");
        Console.WriteLine($"Medians of {options.Samples}{(options.IsWhole ? "" : $"; SCALED to {options.Scale.ToString(CultureInfo.InvariantCulture)}: shows that the rows work, and no more")}");
        Console.WriteLine($"| {"row",-13} | {"what",-72} | {"median",12} | {"must be",8} | {"",-8} |");
        Console.WriteLine($"| {new string('-', 13)} | {new string('-', 72)} | {new string('-', 11)}: | {new string('-', 7)}: | {new string('-', 8)} |");
        foreach (var figure in _figures)
            Console.WriteLine($"| {figure.Row,-13} | {figure.What,-72} | {Amount(figure.Median, figure.Unit),12} | {figure.Limit?.ToString() ?? "",8} | {Verdict(figure),-8} |");
    }

    public void Write(string file) => File.WriteAllText(file, JsonSerializer.Serialize(new
    {
        machine = Machine,
        scale = options.Scale,
        samples = options.Samples,
        figures = _figures.Select(figure => new
        {
            row = figure.Row,
            what = figure.What,
            unit = figure.Unit,
            median = Math.Round(figure.Median, 4),
            samples = figure.Samples.Select(sample => Math.Round(sample, 4)),
            limit = figure.Limit?.ToString(),
            reached = figure.Limit is null || !options.IsWhole ? (bool?)null : !figure.IsMissed,
        }),
    }, Indented));

    string Verdict(Figure figure) => figure.Limit is null ? "" : !options.IsWhole ? "scaled" : figure.IsMissed ? "MISSED" : "reached";

    static string Raw(Figure figure) => string.Join(", ", figure.Samples.Select(sample => Amount(sample, figure.Unit)));

    static string Amount(double value, string unit) =>
        (value >= 1000 ? value.ToString("N0", CultureInfo.InvariantCulture) : value.ToString("0.00", CultureInfo.InvariantCulture))
        + (unit.Length > 0 ? " " + unit : "");
}
