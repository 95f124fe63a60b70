using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests.Status;

public sealed class StatusReportTests
{
    /// <summary>A slot made anew is there before the commit that says the gap.</summary>
    [Theory]
    [InlineData(0x600, false)]
    [InlineData(0x700, false)]
    [InlineData(0x701, true)]
    public async Task A_slot_beyond_the_vault_is_no_protection(ulong confirmed, bool said)
    {
        using var made = await VaultWithHistory.CreateAsync();
        var vault = await BackupVault.OpenAsync(new DirectoryMedium(made.Root), default);
        var source = new SourceStatus(new(0x900), 0x200, "crmbackup_1", SlotExists: true, Active: true, "reserved", new(confirmed), 0, null, null, 0, null);
        var report = StatusReport.Of(vault, source, TimeProvider.System);
        Assert.Equal(said, report.Problems.Any(problem => problem.Contains("beyond the vault's position 0/700", StringComparison.Ordinal)));
        Assert.False(said && report.Protecting);
    }
}
