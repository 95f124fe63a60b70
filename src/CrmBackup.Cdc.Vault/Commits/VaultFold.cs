using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Folds commits into the live set.</summary>
public static class VaultFold
{
    /// <summary>What a reader must know to read a vault right; none beyond the format itself yet.</summary>
    public static readonly IReadOnlySet<string> KnownFeatures = new HashSet<string>();

    public static VaultState Apply(this VaultState state, CommitLink link)
    {
        foreach (var torn in link.SetAside)
            state = state.Apply(
                torn.Number, torn.Hash, state.Epoch, state.HeadTime ?? link.Commit.Head.Time, new CommitContent());
        var (number, head) = (link.Commit.Number, link.Commit.Head);
        if (head.Writer.Epoch < state.Epoch)
            throw new FormatViolationException(
                $"commit {number} is of epoch {head.Writer.Epoch}, commits before it are of epoch {state.Epoch}");
        RefuseUnknown(link.Commit.Content.Requires);
        return state.Apply(number, link.Commit.Hash, head.Writer.Epoch, head.Time, link.Commit.Content);
    }

    public static void RefuseNewer(VaultFormat format, string what)
    {
        if (format.Major > VaultFormat.Current.Major)
            throw new RefusedException(
                $"{what} has format {format.Major}.{format.Minor}, this program reads {VaultFormat.Current.Major}",
                "Use the newer crmbackup that wrote this vault.");
    }

    public static void RefuseUnknown(IEnumerable<string> features)
    {
        var unknown = features.Where(feature => !KnownFeatures.Contains(feature)).ToList();
        if (unknown.Count > 0)
            throw new RefusedException(
                $"the vault requires {string.Join(", ", unknown)}, which this program does not know",
                "Use the newer crmbackup that wrote this vault.");
    }
}
