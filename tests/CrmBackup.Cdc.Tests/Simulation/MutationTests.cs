using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>A simulator that cannot fail proves nothing: each rule broken on purpose is noticed.</summary>
public sealed class MutationTests(ITestOutputHelper output)
{
    /// <summary>Of seeds that find nothing where nothing is broken (<see cref="SimulationTests"/>).</summary>
    const int SeedsMax = 80;

    public static TheoryData<string> All => [.. Enum.GetNames<Mutation>().Where(name => name != nameof(Mutation.None))];

    [Theory]
    [MemberData(nameof(All))]
    public void A_broken_rule_is_noticed(string mutation)
    {
        var result = Simulator.Run(1, SeedsMax, Enum.Parse<Mutation>(mutation), failuresMax: 1);
        output.WriteLine($"{mutation}: {result}\n{(result.Failures.Count > 0 ? result.Failures[0].Failure.Split('\n')[0] : "")}");
        Assert.True(result.Failures.Count > 0, $"{mutation} was not noticed by {SeedsMax} seeds");
    }
}
