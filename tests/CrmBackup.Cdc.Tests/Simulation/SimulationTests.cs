using System.Globalization;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.Tests.Simulation;

public sealed class SimulationTests(ITestOutputHelper output)
{
    /// <summary>About two minutes of one core, shared by all there are; tests/soak.sh --simulate goes on.</summary>
    const int SeedsByDefault = 500;

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
        Assert.True(count < 100 || result.Equal > 0, "no table was repaired by difference: nothing was shown of that");
        Assert.True(result.Failures.Count == 0, string.Join("\n\n", result.Failures.Select(failure => failure.Failure)));
    }

    /// <summary>What each was, tests/BUGS.md says.</summary>
    [Theory]
    [InlineData(107)]
    [InlineData(123)]
    [InlineData(145)]
    [InlineData(85)]
    [InlineData(126)]
    [InlineData(239)]
    [InlineData(38)]
    [InlineData(53)]
    [InlineData(259)]
    [InlineData(793)]
    [InlineData(2882)]
    [InlineData(2920)]
    [InlineData(2992)]
    [InlineData(5746)]
    [InlineData(7601)]
    [InlineData(129)]
    [InlineData(155)]
    [InlineData(374)]
    public void What_a_seed_once_found_is_found_no_more(int seed) => Assert.Empty(Simulator.Run(seed, 1, Mutation.None, failuresMax: 1).Failures);

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
