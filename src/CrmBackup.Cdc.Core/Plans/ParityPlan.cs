namespace CrmBackup.Cdc.Core;

/// <summary>How much is written beside the backup so that bit rot and lost files can be mended. Bound from the configuration's
/// <c>parity</c> section.</summary>
public sealed record ParityOptions
{
    public const int FilesMax = 16;

    /// <summary>0: none. So many of a group's files may be lost.</summary>
    public int Files { get; init; }
    /// <summary>16 files in a group: with 2 parity files an eighth more room.</summary>
    public int Group { get; init; } = 16;
    /// <summary>An hour: files that fill no group wait no longer.</summary>
    public TimeSpan Every { get; init; } = TimeSpan.FromHours(1);

    public IEnumerable<string> Problems()
    {
        if (Files is < 0 or > FilesMax) yield return $"parity:files must be 0 to {FilesMax}";
        if (Group is < 1 or > 200) yield return "parity:group must be 1 to 200";
        if (Every <= TimeSpan.Zero) yield return "parity:every must be greater than zero";
    }
}

/// <summary>The next group. Base and changes segments get parity; commits, schemas and <c>vault.json</c> a copy in a pack, which gets parity
/// too. Log segments do when they are settled: until then a change of theirs stands nowhere else.</summary>
/// <param name="Members">By size, so that little is padded; the pack joins them.</param>
/// <param name="PackFrom">The first commit that the group's pack holds; null when it has none.</param>
/// <param name="Remove">Groups that others replace with this one.</param>
public sealed record ParityPlan(ParityOptions Options, IReadOnlyList<ParityFile> Members, long? PackFrom, IReadOnlyList<string> Remove)
{
    /// <summary>Each group is named by a commit, which itself wants to be packed: fewer wait for a group that is not full.</summary>
    const int CommitsPerPackMin = 16;

    /// <param name="atOnce">Also a group that is not full.</param>
    /// <returns>Null when nothing is due.</returns>
    public static ParityPlan? For(VaultState state, ParityOptions options, bool atOnce)
    {
        if (options.Files == 0)
            return null;
        var packs = state.ParityPacks.Select(pack => pack.Path).ToHashSet();
        // A member that left the live set counts as long as prune leaves it; the others need a new group.
        var worn = state.ParityGroups.Values.Where(group => group.Members.Any(member => !IsLive(member))).ToList();
        var covered = state.ParityGroups.Values.Except(worn).SelectMany(group => group.Members).Select(member => member.Path).ToHashSet();
        var open = state.Segments.Values.Where(segment => segment.Kind != SegmentKind.Log)
            .Select(segment => new ParityFile(segment.Path, segment.Bytes, segment.FileHash))
            .Concat(worn.SelectMany(group => group.Members).Where(member => packs.Contains(member.Path)))
            .Where(file => !covered.Contains(file.Path))
            .DistinctBy(file => file.Path).OrderByDescending(file => file.Bytes).ThenBy(file => file.Path, StringComparer.Ordinal).ToList();
        var packed = state.ParityPacks.Select(pack => pack.LastCommit).DefaultIfEmpty().Max();
        var pack = state.Head - packed >= CommitsPerPackMin || (state.Head > packed && open.Count > 0 && open.Count < options.Group);
        var room = options.Group - (pack ? 1 : 0);
        if (open.Count < room && !atOnce)
            (open, pack) = ([], false);
        var members = open.Take(room).ToList();
        covered.UnionWith(members.Select(member => member.Path));
        var remove = worn.Where(group => group.Members.All(member => covered.Contains(member.Path) || !IsLive(member)))
            .Select(group => group.Id).Order(StringComparer.Ordinal).ToList();
        return members.Count == 0 && !pack && remove.Count == 0 ? null : new ParityPlan(options, members, pack ? packed + 1 : null, remove);

        bool IsLive(ParityFile member) => state.Segments.ContainsKey(member.Path) || packs.Contains(member.Path);
    }

    /// <summary>Live segments that no group has.</summary>
    public static int Uncovered(VaultState state)
    {
        var covered = state.ParityGroups.Values.SelectMany(group => group.Members).Select(member => member.Path).ToHashSet();
        return state.Segments.Keys.Count(path => !covered.Contains(path));
    }
}
