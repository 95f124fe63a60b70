namespace CrmBackup.Cdc.Cli;

/// <summary>Rows of text under each other. Numbers to the right; the last column is as long as it is.</summary>
sealed class Columns(string indent = "")
{
    readonly List<string[]> _rows = [];

    public Columns Add(params string[] cells)
    {
        _rows.Add(cells);
        return this;
    }

    public void Write(TextWriter output)
    {
        if (_rows.Count == 0)
            return;
        var widths = Enumerable.Range(0, _rows.Max(row => row.Length))
            .Select(column => _rows.Max(row => column < row.Length ? row[column].Length : 0)).ToArray();
        foreach (var row in _rows)
            output.WriteLine((indent + string.Join("  ", row.Select((cell, column) => column == row.Length - 1 && !IsNumber(cell) ? cell
                : IsNumber(cell) ? cell.PadLeft(widths[column]) : cell.PadRight(widths[column])))).TrimEnd());
    }

    static bool IsNumber(string cell) => cell.Length > 0 && cell.All(letter => char.IsAsciiDigit(letter) || letter is ',' or '.' or '%' or '-');
}
