using System.Globalization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Everything set-up and <c>check</c> decide upon, read at one moment. They decide; this only says what is.</summary>
public sealed record SourceFacts(
    ServerFacts Server, SetupFacts Setup, IReadOnlyList<TableFacts> Tables, IReadOnlyList<ObjectCount> OtherObjects);

/// <param name="Version"><c>server_version_num</c>, for example 150020.</param>
/// <param name="Settings">Of <c>pg_settings</c>, in base units; a setting that the version does not have is absent.</param>
/// <param name="PendingRestart">Settings whose file says something else than the running server.</param>
/// <param name="WalSendersUsed">Without our own.</param>
/// <param name="Prepared">Of this database.</param>
/// <param name="Cluster">System identifier; 0 when the role may not ask.</param>
public sealed record ServerFacts(
    int Version, string Database, uint DatabaseOid, string User, bool Superuser, bool CanReplicate, bool BypassesRowSecurity,
    bool InRecovery, string Encoding, IReadOnlyDictionary<string, string> Settings, IReadOnlySet<string> PendingRestart,
    int SlotsUsed, int WalSendersUsed, IReadOnlyList<PreparedTransaction> Prepared, ulong Cluster)
{
    public int Major => Version / 10_000;

    public string? Setting(string name) => Settings.GetValueOrDefault(name);

    public long Number(string name) =>
        long.TryParse(Setting(name), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            ? number : throw new InvalidOperationException($"the server has no numeric setting {name}");

    /// <summary>How many table locks all sessions together may hold.</summary>
    public long LockTableSize =>
        Number("max_locks_per_transaction") * (Number("max_connections") + Number("max_prepared_transactions"));
}

public sealed record PreparedTransaction(string Gid, string Owner, TimeSpan Age);

/// <summary>What of ours stands in the source.</summary>
/// <param name="Settings"><c>crmbackup.settings</c>; null when it is not there.</param>
/// <param name="Changes">The publication of updates and deletes, where these have one of their own.</param>
/// <param name="PublicationState"><c>crmbackup.publication_state()</c>; null when there is no such function.</param>
/// <param name="Accessible">False when our schema is there and the connected role may not read it.</param>
public sealed record SetupFacts(
    bool SchemaExists, bool Accessible, IReadOnlyDictionary<string, string>? Settings, bool SecretExists,
    IReadOnlyDictionary<string, FunctionFacts> Functions,
    IReadOnlyDictionary<string, EventTriggerFacts> EventTriggers,
    PublicationFacts? Publication, PublicationFacts? Changes, string? PublicationState, SlotFacts? Slot, RoleFacts? Role)
{
    public string? Setting(string key) => Settings?.GetValueOrDefault(key);
}

/// <param name="Body">As <c>prosrc</c> holds it.</param>
/// <param name="OwnerIsSuperuser">What a SECURITY DEFINER function may do is what its owner may.</param>
public sealed record FunctionFacts(string Body, bool SecurityDefiner, IReadOnlyList<string> Config, bool OwnerIsSuperuser);

/// <param name="Enabled">'O' origin, 'A' always, 'R' replica, 'D' disabled.</param>
public sealed record EventTriggerFacts(string Event, char Enabled, string Function);

public sealed record PublicationFacts(
    uint Oid, bool AllTables, bool Insert, bool Update, bool Delete, bool Truncate, bool ViaRoot, bool GeneratedColumns,
    IReadOnlyList<PublishedTable> Tables, IReadOnlyList<string> Schemas)
{
    public PublishedTable? Find(uint oid) => Tables.FirstOrDefault(table => table.Oid == oid);
}

/// <param name="RowFilter">As <c>pg_get_expr</c> prints it.</param>
public sealed record PublishedTable(uint Oid, string? RowFilter, bool ColumnList);

/// <param name="WalStatus">reserved, extended, unreserved or lost.</param>
/// <param name="Invalid">Why the slot can no longer be used; null when it can.</param>
/// <param name="RetainedBytes">WAL that the server keeps for it.</param>
public sealed record SlotFacts(
    string Name, string? Plugin, string? Database, bool Active, bool TwoPhase, string? WalStatus, string? Invalid,
    Lsn? Confirmed, long RetainedBytes);

/// <summary>The role of <c>--role</c>, asked for or set up before.</summary>
public sealed record RoleFacts(
    string Name, bool Exists, bool Superuser, bool Login, bool Replication, bool BypassesRowSecurity, bool ReadsAllData, bool Monitors,
    bool UsesOurSchema);

/// <summary>One table of the user's.</summary>
/// <param name="Kind">'r' ordinary, 'p' partitioned.</param>
/// <param name="Persistence">'p' permanent, 'u' unlogged.</param>
/// <param name="Identity"><c>relreplident</c>.</param>
/// <param name="IdentityIndex">Name of the index that 'i' means.</param>
/// <param name="HasIdentity">An UPDATE or DELETE can be published.</param>
/// <param name="CandidateIndex">Unique, immediate, whole, over NOT NULL columns: fit for USING INDEX.</param>
/// <param name="Generated">It has stored or virtual generated columns.</param>
/// <param name="RowBytes">Average width by the statistics; 0 when never analysed.</param>
/// <param name="ChangesPerHour">Updates and deletes since the statistics began.</param>
/// <param name="Parent">The partitioned table or 0.</param>
/// <param name="HiddenRows">Row-level security would hide rows from the connected role.</param>
/// <param name="Readable">The connected role may SELECT from it.</param>
/// <param name="Triggered">A trigger of ours tells its updates and deletes.</param>
public sealed record TableFacts(
    uint Oid, string Schema, string Name, char Kind, char Persistence, char Identity, string? IdentityIndex, bool HasIdentity,
    string? CandidateIndex, bool Generated, long Bytes, long ToastBytes, long RowBytes, double ChangesPerHour,
    uint Parent, bool HiddenRows, bool Readable, bool Triggered)
{
    public string FullName => $"{Schema}.{Name}";

    public string Sql => SqlText.Qualified(Schema, Name);

    /// <summary>Holds rows that the WAL carries.</summary>
    public bool Logged => Kind == 'r' && Persistence == 'p';
}

/// <summary>Objects whose content the stream does not carry.</summary>
/// <param name="Kind">For example "unlogged tables".</param>
/// <param name="Examples">Up to ten names.</param>
public sealed record ObjectCount(string Kind, long Count, IReadOnlyList<string> Examples);
