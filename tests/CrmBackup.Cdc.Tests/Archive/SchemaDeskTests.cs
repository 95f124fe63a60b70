using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>Which dump is kept, and from where it tells the schema.</summary>
public sealed class SchemaDeskTests
{
    static readonly Dictionary<string, byte[]> _keyed = new() { [SchemaUnits.PartsFile] = [] };
    static readonly DateTimeOffset _now = DateTimeOffset.UnixEpoch;

    static SchemaVersion? Dump(SchemaDesk desk, ulong before, ulong after, IReadOnlyDictionary<string, byte[]>? files = null)
    {
        desk.Ordered(1);
        Assert.True(desk.Answered(1, files ?? _keyed, new SchemaDumped(PlanVault.At(before), PlanVault.At(after))));
        return desk.Settled(PlanVault.At(after))?.Version(Sha256.Zero);
    }

    [Fact]
    public void A_quiet_dump_is_exact_from_the_last_command_on()
    {
        var desk = new SchemaDesk(VaultState.Empty, PlanVault.At(10), TimeSpan.Zero);
        desk.Changed(PlanVault.At(20), described: true, _now);

        Assert.Equal(new SchemaVersion(Sha256.Zero, PlanVault.At(20), null, new Lsn(20)), Dump(desk, 30, 40));
        Assert.False(desk.Needed);
        Assert.Equal(PlanVault.At(50), desk.Changed(PlanVault.At(50), described: true, _now)!.Until);
    }

    [Fact]
    public void A_dump_that_described_commands_part_serves_where_nothing_else_does()
    {
        var desk = new SchemaDesk(VaultState.Empty, PlanVault.At(10), TimeSpan.Zero);
        desk.Changed(PlanVault.At(35), described: true, _now);

        Assert.Equal(new SchemaVersion(Sha256.Zero, PlanVault.At(40), PlanVault.At(40), new Lsn(30)), Dump(desk, 30, 40));
        Assert.True(desk.Needed);
        // From here on the definitions tell it all.
        desk.Changed(PlanVault.At(55), described: true, _now);
        Assert.Null(Dump(desk, 50, 60));
        desk.Changed(PlanVault.At(70), described: false, _now);
        Assert.Null(Dump(desk, 65, 75));
        desk.Changed(PlanVault.At(85), described: true, _now);
        Assert.Equal(new Lsn(80), Dump(desk, 80, 90)!.DescribedFrom);
    }

    [Fact]
    public void A_dump_without_keys_serves_only_its_own_span()
    {
        var desk = new SchemaDesk(VaultState.Empty, PlanVault.At(10), TimeSpan.Zero);
        desk.Changed(PlanVault.At(35), described: true, _now);

        Assert.Null(Dump(desk, 30, 40, new Dictionary<string, byte[]>()));
        Assert.Equal(new SchemaVersion(Sha256.Zero, PlanVault.At(35), null), Dump(desk, 50, 60, new Dictionary<string, byte[]>()));
    }
}
