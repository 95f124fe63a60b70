using System.Text.Json;
using System.Text.Json.Serialization;

namespace CrmBackup.Cdc.Core;

/// <summary>What capture tells the archive beside the events, in the stream or as the end of an answer.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "is")]
[JsonDerivedType(typeof(StreamOpened), "opened")]
[JsonDerivedType(typeof(Inventory), "inventory")]
[JsonDerivedType(typeof(IdlePosition), "idle")]
[JsonDerivedType(typeof(SequencesSampled), "sequences")]
[JsonDerivedType(typeof(CatalogSeen), "catalog")]
[JsonDerivedType(typeof(BaseChunkRead), "chunk")]
[JsonDerivedType(typeof(SchemaDumped), "schema")]
[JsonDerivedType(typeof(OrderFailed), "failed")]
public abstract record ControlEntry
{
    public byte[] ToEntry()
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(this, CoreJson.Default.ControlEntry);
        var entry = new byte[1 + json.Length];
        entry[0] = EntryType.Control;
        json.CopyTo(entry, 1);
        return entry;
    }

    public static ControlEntry Parse(ReadOnlySpan<byte> entry)
    {
        try
        {
            return JsonSerializer.Deserialize(entry.IsEmpty ? entry : entry[1..], CoreJson.Default.ControlEntry)
                ?? throw new FormatViolationException("a control entry is null");
        }
        // Not supported: it does not say which one it is.
        catch (Exception failure) when (failure is JsonException or NotSupportedException)
        {
            throw new FormatViolationException($"a control entry cannot be read: {failure.Message}", failure);
        }
    }
}

/// <summary>First entry of an epoch.</summary>
/// <param name="SlotAt">The slot's <c>confirmed_flush_lsn</c> before streaming began.</param>
/// <param name="StartedAt">Where the stream starts: the archive's position; the slot's when the archive had none, or when the slot is ahead
/// (then <c>SlotAt</c> lies above what the archive asked for, and what is between is a gap).</param>
/// <param name="ServerVersion"><c>server_version_num</c>.</param>
/// <param name="Incarnation">Random, kept beside the slot in the source: another one means the slot was made anew (a gap).</param>
/// <param name="AllTables">True when the publication is FOR ALL TABLES: a table created in the stream is protected from its first row.</param>
/// <param name="Fidelity">What is not captured exactly with this set-up, in words (no event triggers, row filters, …).</param>
public sealed record StreamOpened(
    Position SlotAt, Position StartedAt, int ServerVersion, string Database, Guid Incarnation,
    bool AllTables, IReadOnlyList<string> Fidelity) : ControlEntry
{
    /// <summary>Why capture made the slot anew, in words; null when it did not.</summary>
    public string? Renewed { get; init; }

    /// <summary>The slot was made anew because the source has another history than the vault, or cannot show that it has the same: what its
    /// tables and transactions are called says nothing about those in the vault.</summary>
    public bool OtherHistory { get; init; }

    /// <summary>Names this run of the server process; null when it did not say. Nobody puts other files under a server that runs: one that was
    /// not started meanwhile has the history that it had.</summary>
    public string? ServerRun { get; init; }

    /// <summary>Where the timeline of the archive's position ended, when the source is on a later one.</summary>
    public Lsn? BranchedAt { get; init; }
}

/// <summary>All protected tables as the catalog shows them now; follows <see cref="StreamOpened"/> in every epoch.</summary>
/// <param name="At">Everything visible to the inventory was committed at or before this position.</param>
public sealed record Inventory(Position At, IReadOnlyList<CatalogTable> Tables) : ControlEntry;

/// <summary>Nothing is in flight; the WAL up to here holds nothing for us.</summary>
public sealed record IdlePosition(Position At, SourceTime Time) : ControlEntry;

/// <summary>All sequences, read after everything up to <paramref name="At"/> had been received.</summary>
public sealed record SequencesSampled(Position At, IReadOnlyList<SequenceState> Sequences) : ControlEntry;

/// <summary>The catalog as one snapshot saw it (rule 15): sent when it differs from the look before, first in every epoch, and now and then.
/// Whether messages of ours explain a difference, the archive judges.</summary>
/// <param name="Snapshot"><c>pg_current_snapshot()</c> of the look.</param>
/// <param name="Before">Position of the source when the look began: what a transaction did that ended later, it may not have seen.</param>
/// <param name="At">A position after everything that the look saw; null: nothing differs from the look before.</param>
/// <param name="Triggers">Our event triggers; another text means that they were changed, and may have been silent.</param>
/// <param name="Schema">Digest of schema objects.</param>
/// <param name="Columns">Digest of columns, each with the transaction that wrote it.</param>
/// <param name="Touched">Tables with columns written since the look before.</param>
/// <param name="Problems">What of our set-up is missing or was changed, in words; empty when all is well.</param>
public sealed record CatalogSeen(
    string Snapshot, Lsn Before, Position? At, string Triggers, string Schema, string Columns, IReadOnlyList<TouchedTable> Touched,
    IReadOnlyList<string> Problems) : ControlEntry
{
    /// <summary>Until when this session is known to have seen no difference.</summary>
    public Lsn UnchangedTo { get; init; }

    /// <summary>What became of our publication, in words: rows may be missing from the stream since. Null when it is as init left it.</summary>
    public string? PublicationDamage { get; init; }

    /// <summary>What capture needs in the source to open a stream or read a base is gone; the open stream goes on.</summary>
    public bool SetupUnusable { get; init; }
}

/// <param name="Columns">Attnums.</param>
public sealed record TouchedTable(uint Oid, IReadOnlyList<short> Columns);

/// <summary>Last entry of a base chunk's answer.</summary>
/// <param name="Snapshot"><c>pg_current_snapshot()</c> under which the rows were read.</param>
/// <param name="Table">The table as that same snapshot's transaction saw it; the rows' columns are its non-generated columns in attnum order.</param>
/// <param name="Barrier">A position after which everything visible to the snapshot is passed.</param>
/// <param name="Rows">Read and sent.</param>
public sealed record BaseChunkRead(string Snapshot, CatalogTable Table, Position Barrier, long Rows) : ControlEntry
{
    /// <summary>What became of the key ranges, where the order named some.</summary>
    public RangesRead? Ranges { get; init; }
}

/// <summary>Last entry of a schema dump's answer: the dump is exact for every position between the two barriers that no DDL parts.</summary>
public sealed record SchemaDumped(Position Before, Position After) : ControlEntry;

/// <summary>Why an order was not carried out, as far as the archive acts on it.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<OrderFailure>))]
public enum OrderFailure
{
    /// <summary>Nothing stands against asking again after a pause.</summary>
    [JsonStringEnumMemberName("later")]
    Later,

    /// <summary>The table does not exist any more: do not ask again.</summary>
    [JsonStringEnumMemberName("gone")]
    Gone,

    /// <summary>The table was rewritten since its base began: the chunks read before do not fit, the base starts anew.</summary>
    [JsonStringEnumMemberName("rewritten")]
    Rewritten,

    /// <summary>The table holds a row that the server cannot send: it stays uncovered until that row is gone.</summary>
    [JsonStringEnumMemberName("unsendable")]
    Unsendable,

    /// <summary>To compare the table would cost the source more than to read it: read it.</summary>
    [JsonStringEnumMemberName("costly")]
    Costly,
}

/// <summary>The order could not be carried out now.</summary>
/// <param name="Reason">For people.</param>
public sealed record OrderFailed(string Reason, OrderFailure Failure = OrderFailure.Later) : ControlEntry;

/// <summary>What the archive tells capture.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "is")]
[JsonDerivedType(typeof(StartStream), "start")]
[JsonDerivedType(typeof(DurableAt), "durable")]
[JsonDerivedType(typeof(ReadBaseChunk), "base")]
[JsonDerivedType(typeof(DumpSchema), "dump")]
public abstract record ArchiveRequest
{
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, CoreJson.Default.ArchiveRequest);

    public static ArchiveRequest Parse(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return JsonSerializer.Deserialize(bytes, CoreJson.Default.ArchiveRequest)
                ?? throw new FormatViolationException("an archive request is null");
        }
        // Not supported: it does not say which one it is.
        catch (Exception failure) when (failure is JsonException or NotSupportedException)
        {
            throw new FormatViolationException($"an archive request cannot be read: {failure.Message}", failure);
        }
    }
}

/// <summary>Begin a new epoch at the archive's durable position. Capture ends whatever stream it has. Sent again until blocks of the epoch come.</summary>
/// <param name="At">Null when the vault is empty.</param>
/// <param name="CatalogSeen">The snapshot of the last <see cref="Core.CatalogSeen"/> that the vault knows.</param>
public sealed record StartStream(
    Guid Epoch, Guid Vault, ulong SystemIdentifier, Position? At, Guid? Incarnation, string? CatalogSeen = null) : ArchiveRequest
{
    /// <summary>With which the stream must begin; null when the vault has none on this timeline and slot.</summary>
    public Anchor? Anchor { get; init; }
}

/// <summary>Everything up to here is on the medium: the slot may advance, but not past the anchor.</summary>
public sealed record DurableAt(Guid Epoch, Position At) : ArchiveRequest
{
    /// <summary>Null: there is none, and the slot may advance all the way.</summary>
    public Anchor? Anchor { get; init; }
}

/// <summary>Read rows of one table in one short transaction.</summary>
/// <param name="FromPage">First heap page, inclusive.</param>
/// <param name="ToPage">Exclusive; null = open-ended.</param>
/// <param name="FileNode">The table must still have this <c>pg_relation_filenode</c>, else the base starts anew; 0 = any.</param>
/// <param name="Keys">When given: not pages but the rows with these keys (column texts in key order), if they still exist.</param>
public sealed record ReadBaseChunk(
    Guid Epoch, ulong Order, uint Oid, uint FileNode, long FromPage, long? ToPage, IReadOnlyList<IReadOnlyList<string>>? Keys) : ArchiveRequest
{
    /// <summary>When given: not pages but these key ranges, and of them only those that are not what the archive has.</summary>
    public KeyRanges? Ranges { get; init; }
}

/// <summary>Dump the schema between two barriers.</summary>
public sealed record DumpSchema(Guid Epoch, ulong Order) : ArchiveRequest;
