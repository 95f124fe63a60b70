using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The role of least privilege under which capture runs.</summary>
static class RolePlan
{
    public static IEnumerable<SetupStep> Steps(SourceFacts facts, List<string> notes)
    {
        if (facts.Setup.Role is not { } role || role.Superuser)
            yield break;
        var name = SqlText.Identifier(role.Name);
        if (!role.Exists)
        {
            notes.Add($"Role {role.Name} gets no password here: set one with \\password {name} in psql, or use a certificate.");
            yield return SetupStep.Transaction(SetupPhase.Role,
                "Reads the stream and every row; writes nothing but our own settings. BYPASSRLS: hidden rows would be missing from the backup.",
                [$"CREATE ROLE {name} LOGIN REPLICATION BYPASSRLS", SetupPlanner.SettingsUpsert([new("roleCreated", role.Name)])]);
        }
        else if (!role.Login || !role.Replication || !role.BypassesRowSecurity)
            yield return new SetupStep(SetupPhase.Role, "The role may log in, stream, and see every row.",
                [$"ALTER ROLE {name} LOGIN REPLICATION BYPASSRLS"]);
        if (role is not { ReadsAllData: true, Monitors: true, UsesOurSchema: true })
            yield return SetupStep.Transaction(SetupPhase.Role, "Every table, also later ones; the state of slot and walsender; our own schema.",
                Grants(facts.Server.Database, name));
    }

    /// <param name="role">Quoted.</param>
    public static IEnumerable<string> Grants(string database, string role) =>
    [
        $"GRANT CONNECT ON DATABASE {SqlText.Identifier(database)} TO {role}",
        $"GRANT pg_read_all_data, pg_monitor TO {role}",
        $"GRANT USAGE ON SCHEMA crmbackup TO {role}",
        $"GRANT SELECT ON ALL TABLES IN SCHEMA crmbackup TO {role}",
        $"GRANT INSERT, UPDATE, DELETE ON crmbackup.settings TO {role}",
        .. Functions.Select(function => $"GRANT EXECUTE ON FUNCTION {function} TO {role}"),
    ];

    /// <summary>What capture and <c>check</c> call.</summary>
    static IEnumerable<string> Functions =>
        SetupSql.Functions
            .Where(function => function.Name is "mark" or "barrier" or "missing_value" or "value_rule" or "table_image" or "publication_state" or "protects"
                or "tell_changes")
            .Select(function => function.GrantSignature);
}
