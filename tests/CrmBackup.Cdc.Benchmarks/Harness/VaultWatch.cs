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
        // A new vault has none.
        var files = Directory.Exists(_commits) ? Directory.EnumerateFiles(_commits, "*.json", SearchOption.AllDirectories) : [];
        _next = files.Select(file => long.Parse(Path.GetFileNameWithoutExtension(file))).DefaultIfEmpty(0).Max() + 1;
    }

    /// <summary>Events in the log segments of the commits since.</summary>
    public long Events { get; private set; }

    /// <summary>Log segments of the commits since, and when each was seen to be committed.</summary>
    public List<(string Path, DateTimeOffset Seen)> Logs { get; } = [];

    /// <summary>Bases that became whole in the commits since.</summary>
    public int Bases { get; private set; }

    /// <summary>Takes commits as they come, until one names the mark.</summary>
    /// <param name="alive">The processes that must bring it.</param>
    public Task UntilMarkAsync(string mark, params Run[] alive) =>
        UntilAsync(commit => Items(commit, "marks").Any(known => known.GetProperty("name").GetString() == mark), alive);

    public Task UntilBasesAsync(int bases, params Run[] alive) => UntilAsync(_ => Bases >= bases, alive);

    async Task UntilAsync(Func<JsonElement, bool> last, Run[] alive)
    {
        while (true)
        {
            if (Take() is not { } commit)
            {
                if (alive.FirstOrDefault(run => run.HasEnded) is { } ended)
                    throw new InvalidOperationException($"{ended} has ended\n{ended.Said}");
                await Task.Delay(2);
                continue;
            }
            Logs.AddRange(Items(commit, "add").Where(IsLog).Select(added => (added.GetProperty("path").GetString()!, DateTimeOffset.UtcNow)));
            Events += Items(commit, "add").Where(IsLog).Sum(added => added.GetProperty("rows").GetInt64());
            Bases += Items(commit, "bases").Count();
            if (last(commit))
                return;
        }
    }

    static bool IsLog(JsonElement added) => added.GetProperty("kind").GetString() == "Log";

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
