using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Content that was read holds what content has: whoever wrote it, nothing behind it meets a name that is not there, a path out of
/// the vault, or a count that no vault has.</summary>
static class PlausibleContent
{
    const long CountMax = 1L << 50;

    /// <exception cref="FormatViolationException">It does not.</exception>
    public static void Check(CommitContent content, string what)
    {
        foreach (var segment in content.Add)
        {
            VaultPath.Check(segment?.Path);
            Require(segment is { Bytes: >= 0 and < CountMax, Rows: >= 0 and < CountMax, Relation: >= 0, FileHash.Hex: not null, ContentHash.Hex: not null }, what, "a segment");
        }
        Require(content.Remove.All(path => path is not null), what, "a path");
        Require(content.Relations.All(IsWhole), what, "a relation");
        Require(content.Schemas.All(schema => schema is { Hash.Hex: not null }), what, "a schema");
        Require(content.BaseChunks.All(IsWhole), what, "a base chunk");
        Require(content.Bases.All(complete => complete is not null), what, "a base");
        Require(content.Marks.All(mark => mark is { Name: not null }), what, "a mark");
        Require(content.Gaps.All(gap => gap is { Reason: not null }), what, "a gap");
        Require(content.Sequences.All(IsWhole), what, "a sample of sequences");
        Require(content.Settings.Values.All(value => value is not null), what, "a setting");
        Require(content.Requires.All(feature => feature is not null), what, "a feature");
        if (content.Parity is { } parity)
        {
            Require(parity.Groups.All(IsWhole), what, "a parity group");
            Require(parity.Packs.All(IsWhole), what, "a pack");
            Require(parity.Remove.All(id => id is not null), what, "the id of a parity group");
        }
    }

    internal static bool IsWhole(RelationShape? shape) =>
        shape is { Schema: not null, Name: not null, Columns: not null } && shape.Columns.All(column => column is { Name: not null, TypeName: not null });

    static bool IsWhole(BaseChunk? chunk) =>
        chunk is { Snapshot: not null, Rows: >= 0 and < CountMax } && IsSnapshot(chunk.Snapshot);

    static bool IsWhole(SequenceSample? sample) =>
        sample is { Sequences: not null }
        && sample.Sequences.All(sequence => sequence is { Schema: not null, Name: not null } && long.TryParse(sequence.LastValue, out _))
        && sample.Absent.All(name => name is { Schema: not null, Name: not null });

    static bool IsWhole(ParityGroup? group) =>
        group is { Id: not null, BlockBytes: > 0, Members.Count: > 0, Files.Count: > 0 } && group.Members.Count + group.Files.Count <= ParityGroup.FilesMax
        && group.Members.Concat(group.Files).All(file => file is { Bytes: >= 0 and < CountMax, FileHash.Hex: not null } && VaultPath.IsValid(file.Path));

    static bool IsWhole(ParityPack? pack) =>
        pack is { FirstCommit: > 0, Schemas: not null } && pack.LastCommit >= pack.FirstCommit && pack.Schemas.All(schema => schema.Hex is not null)
        && VaultPath.IsValid(pack.Path);

    static bool IsSnapshot(string text)
    {
        try
        {
            return Snapshot.Parse(text) is not null;
        }
        catch (Exception other) when (other is FormatException or OverflowException)
        {
            return false;
        }
    }

    static void Require(bool holds, string what, string part)
    {
        if (!holds)
            throw new FormatViolationException($"{what} holds {part} that is not whole");
    }
}
