using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class ServerFindingsTests
{
    [Theory]
    [InlineData(140018, "14.19")]
    [InlineData(140019, null)]
    [InlineData(150013, "15.14")]
    [InlineData(150014, null)]
    [InlineData(160009, "16.10")]
    [InlineData(160010, null)]
    [InlineData(170005, "17.6")]
    [InlineData(170006, null)]
    [InlineData(180000, null)]
    public void A_minor_version_that_loses_changes_beside_ddl_is_found(int version, string? mendedIn)
    {
        var found = ServerFindings.Of(Server(version)).SingleOrDefault(finding => finding.Id == "minor-version");
        Assert.Equal(mendedIn is null, found is null);
        if (mendedIn is not null)
            Assert.Contains(found!.Remedies, remedy => remedy.Text.Contains(mendedIn, StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_older_pg_dump_than_the_server_is_refused_in_words()
    {
        var refused = await Assert.ThrowsAsync<RefusedException>(() => ClientPrograms.FindAsync(999, default));
        Assert.Contains("pg_dump 999 or newer", refused.Message, StringComparison.Ordinal);
        Assert.Contains("postgresql-client-999", refused.Hint, StringComparison.Ordinal);
    }

    static SourceFacts Server(int version) => new(
        new ServerFacts(version, "crm", 5, "postgres", true, true, true, false, "UTF8", new Dictionary<string, string>
        {
            ["wal_level"] = "logical",
            ["max_replication_slots"] = "10",
            ["max_wal_senders"] = "10",
            ["synchronous_standby_names"] = "",
            ["max_slot_wal_keep_size"] = "64000",
            ["wal_sender_timeout"] = "60000",
            ["logical_decoding_work_mem"] = "65536",
        }, new HashSet<string>(), 0, 0, [], 0),
        new SetupFacts(false, true, null, false, new Dictionary<string, FunctionFacts>(), new Dictionary<string, EventTriggerFacts>(), null, null, null, null, null),
        [], []);
}
