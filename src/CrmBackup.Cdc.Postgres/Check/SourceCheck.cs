using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary><c>check</c>: everything that is unsafe, reduced or worth knowing about a source, with the lines that mend it.</summary>
public static class SourceCheck
{
    /// <summary>Worst first. Changes nothing. Unsafe ones mean exit 3.</summary>
    public static async Task<IReadOnlyList<Finding>> RunAsync(NpgsqlConnection connection, SetupOptions options, CancellationToken stop)
    {
        var facts = await FactsReader.ReadAsync(connection, stop, options.Slot, options.Publication, options.Role);
        return [.. Of(facts, options).Concat(await ProgramsAsync(facts.Server.Major, stop)).OrderByDescending(finding => finding.Severity)];
    }

    /// <summary>What is not captured exactly with this set-up, in words: for the stream's opening and a restore's report.</summary>
    public static async Task<IReadOnlyList<string>> FidelityAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var facts = await FactsReader.ReadAsync(connection, stop);
        return [.. TableFindings.Of(facts, ProtectedScope.Of(new SetupOptions(), facts.Setup))
            .Where(finding => finding.Severity == Severity.Reduced).Select(finding => $"{finding.What}. {finding.Why}")];
    }

    internal static IEnumerable<Finding> Of(SourceFacts facts, SetupOptions options)
    {
        var server = ServerFindings.Of(facts).ToList();
        if (facts.Server.InRecovery)
            return server;
        var scope = ProtectedScope.Of(options, facts.Setup);
        return [.. server, .. SetupFindings.Of(facts, options, scope), .. TableFindings.Of(facts, scope)];
    }

    static async Task<IEnumerable<Finding>> ProgramsAsync(int major, CancellationToken stop)
    {
        try
        {
            await ClientPrograms.FindAsync(major, stop);
            return [];
        }
        catch (RefusedException missing)
        {
            return [new Finding("no-pg-dump", Severity.Unsafe, missing.Message, "The schema would not be in the backup.",
                [Remedy.Command($"apt-get install -y postgresql-client-{major}")])];
        }
    }
}
