using System.Globalization;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.Tests.Simulation;

[Trait("Run", "Full")]
public sealed class SimulationTests(ITestOutputHelper output)
{
    /// <summary>What a run of all tests has time for; tests/soak.sh --simulate goes on.</summary>
    const int SeedsByDefault = 100;

    /// <summary>CRMBACKUP_SIMULATION_SEEDS=N or FIRST..LAST.</summary>
    static (int First, int Count) Seeds()
    {
        var given = Environment.GetEnvironmentVariable("CRMBACKUP_SIMULATION_SEEDS");
        if (string.IsNullOrEmpty(given))
            return (1, SeedsByDefault);
        var edges = given.Split("..").Select(edge => int.Parse(edge, CultureInfo.InvariantCulture)).ToList();
        return edges.Count == 1 ? (1, edges[0]) : (edges[0], edges[1] - edges[0] + 1);
    }

    [Fact]
    public void Whatever_fails_nothing_is_lost_and_nothing_is_hidden()
    {
        var (first, count) = Seeds();
        var result = Simulator.Run(first, count, Mutation.None, failuresMax: 5);
        output.WriteLine(result.ToString());
        Assert.True(result.Failures.Count == 0, string.Join("\n\n", result.Failures.Select(failure => failure.Failure)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void A_seed_does_the_same_each_time(int seed)
    {
        World once = new(seed), again = new(seed);
        once.Run();
        again.Run();
        Assert.Equal((once.Steps, once.Trace.Lines, once.Trace.Hash), (again.Steps, again.Trace.Lines, again.Trace.Hash));
    }
}
