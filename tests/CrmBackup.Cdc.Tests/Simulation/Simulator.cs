using System.Collections.Concurrent;
using System.Globalization;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>Runs worlds, one after the other on each core.</summary>
static class Simulator
{
    public const string Verb = "simulate";

    /// <param name="Equal">Key ranges that repairs by difference took from the past.</param>
    public sealed record Result(int Seeds, long Steps, TimeSpan Took, IReadOnlyList<(int Seed, string Failure)> Failures, long Equal)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture,
            $"{Seeds} seeds, {Steps} steps, {Took.TotalSeconds:0.0} s, {Equal} key ranges equal after a gap, {Failures.Count} failed");
    }

    /// <param name="failuresMax">No more seeds are begun then.</param>
    public static Result Run(int first, int count, Mutation mutation, int failuresMax, TimeSpan? limit = null)
    {
        var failures = new ConcurrentBag<(int Seed, string Failure)>();
        var began = TimeProvider.System.GetTimestamp();
        long steps = 0, equal = 0;
        var next = first - 1;
        var done = 0;
        var threads = Enumerable.Range(0, Environment.ProcessorCount).Select(_ => new Thread(Work)).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        return new Result(done, steps, TimeProvider.System.GetElapsedTime(began), [.. failures.OrderBy(failure => failure.Seed)], equal);

        void Work()
        {
            while (failures.Count < failuresMax && (limit is null || TimeProvider.System.GetElapsedTime(began) < limit)
                && Interlocked.Increment(ref next) is var seed && seed < first + count)
            {
                var world = new World(seed, mutation);
                try
                {
                    world.Run();
                }
                catch (Exception failure)
                {
                    failures.Add((seed, failure is ViolationException ? failure.Message : failure.ToString()));
                }
                Interlocked.Add(ref steps, world.Steps);
                Interlocked.Add(ref equal, world.EqualRanges);
                Interlocked.Increment(ref done);
            }
        }
    }

    /// <summary>simulate FIRST..LAST [MUTATION] [MINUTES]: as a process of its own.</summary>
    public static int RunArguments(string[] args)
    {
        var edges = args[1].Split("..").Select(edge => int.Parse(edge, CultureInfo.InvariantCulture)).ToList();
        var mutation = args.Length > 2 ? Enum.Parse<Mutation>(args[2]) : Mutation.None;
        var limit = args.Length > 3 ? TimeSpan.FromMinutes(int.Parse(args[3], CultureInfo.InvariantCulture)) : (TimeSpan?)null;
        var result = Run(edges[0], edges[^1] - edges[0] + 1, mutation, failuresMax: 5, limit);
        foreach (var (_, failure) in result.Failures)
            Console.WriteLine(failure);
        Console.WriteLine(result);
        return result.Failures.Count == 0 ? 0 : 1;
    }
}
