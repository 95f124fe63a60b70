using System.Text.Json;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>Looks at the commits of a vault as anybody may: what a commit names is durable.</summary>
sealed class VaultWatch
{
    readonly string _commits;
    long _next;

    /// <summary>From the newest commit that is there now.</summary>
    public VaultWatch(string vault)
    {
        _commits = Path.Combine(vault, "commits");
        _next = Directory.EnumerateFiles(_commits, "*.json", SearchOption.AllDirectories)
            .Select(file => long.Parse(Path.GetFileNameWithoutExtension(file))).DefaultIfEmpty(0).Max() + 1;
    }

    /// <summary>Events in the log segments of the commits since.</summary>
    public long Events { get; private set; }

    /// <summary>Takes commits as they come, until one names the mark.</summary>
    /// <param name="alive">The processes that must bring it.</param>
    public async Task UntilMarkAsync(string mark, params Run[] alive)
    {
        while (true)
        {
            if (Take() is not { } commit)
            {
                if (alive.FirstOrDefault(run => run.HasEnded) is { } ended)
                    throw new InvalidOperationException($"{ended} has ended\n{ended.Said}");
                await Task.Delay(5);
                continue;
            }
            foreach (var added in Items(commit, "add"))
                if (added.GetProperty("kind").GetString() == "Log")
                    Events += added.GetProperty("rows").GetInt64();
            if (Items(commit, "marks").Any(known => known.GetProperty("name").GetString() == mark))
                return;
        }
    }

    static IEnumerable<JsonElement> Items(JsonElement commit, string list) => commit.TryGetProperty(list, out var items) ? items.EnumerateArray() : [];

    JsonElement? Take()
    {
        var file = Path.Combine(_commits, $"{_next / 10_000:00000000}", $"{_next:000000000000}.json");
        if (!File.Exists(file))
            return null;
        var line = File.ReadLines(file).First();
        _next++;
        return JsonDocument.Parse(line).RootElement;
    }
}
