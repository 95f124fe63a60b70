using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class CollationVersionsTests
{
    [Fact]
    public void A_collation_of_another_version_at_the_target_is_said()
    {
        var source = new CollationVersions(140019, "de_DE.utf8", new Dictionary<string, string> { [CollationVersions.Default] = "2.31", ["public.german"] = "153.14", ["public.same"] = "1" });
        var target = new CollationVersions(180004, "C.UTF-8", new Dictionary<string, string> { [CollationVersions.Default] = "2.36", ["public.same"] = "1", ["public.more"] = "2" });
        var said = CollationVersions.Parse(source.ToBytes()).DifferencesOf(target).ToList();
        Assert.Equal(3, said.Count);
        Assert.Equal("the source sorts text by locale de_DE.utf8, the target by C.UTF-8", said[0]);
        Assert.StartsWith("collation public.german: version 153.14 at the source, none at the target", said[1], StringComparison.Ordinal);
        Assert.StartsWith("collation the database's own: version 2.31 at the source, 2.36 at the target", said[2], StringComparison.Ordinal);
        Assert.Empty(source.DifferencesOf(source));
    }
}
