using Xunit;
using Xunit.Abstractions;

[assembly: TestCollectionOrderer("CrmBackup.Cdc.EndToEnd.LongestFirst", "CrmBackup.Cdc.EndToEnd")]

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Collections run side by side, and what is in one runs one after another: the three that take ten minutes begin first, and the short ones
/// fill what is left.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    static readonly string[] _long = ["main job", "servers", "postgres"];

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderBy(collection => _long.Contains(collection.DisplayName) ? 0 : 1);
}
