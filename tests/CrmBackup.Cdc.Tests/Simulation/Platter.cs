namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>What lies on the vault's disk, and what the operating system shows of it: two things, until fsync makes them one. Files are
/// written once and from front to back, as a vault does.</summary>
sealed class Platter
{
    public const string Root = "/vault";

    public sealed class Node
    {
        /// <summary>Null: a folder.</summary>
        public MemoryStream? Written { get; init; }
        public byte[] Bytes { get; set; } = [];
        public long Synced { get; set; }
        public DateTimeOffset Modified { get; init; }
        /// <summary>A power cut came over its writing. A process on another machine that lives on is told so when it goes on.</summary>
        public bool Lost { get; set; }
        /// <summary>What was written before a power cut tore it.</summary>
        public byte[]? Whole { get; set; }
        public bool IsFolder => Written is null;
        public byte[] Content => Written is { CanWrite: true } open ? open.ToArray() : Bytes;
    }

    sealed class Folder
    {
        public SortedDictionary<string, Node> Now { get; } = new(StringComparer.Ordinal);
        public Dictionary<string, Node> Durable { get; } = [];
        public HashSet<string> Dirty { get; } = [];
    }

    readonly Dictionary<string, Folder> _folders = new() { [Root] = new Folder() };

    /// <summary>Who holds a lock file, by path.</summary>
    public Dictionary<string, SimulatedProcess> Locks { get; } = [];

    public bool Full { get; set; }

    public Node? Find(string path) => _folders.GetValueOrDefault(FolderOf(path))?.Now.GetValueOrDefault(NameOf(path));

    /// <summary>What a power cut now would leave at the least.</summary>
    public byte[]? DurableBytes(string path) =>
        _folders.GetValueOrDefault(FolderOf(path))?.Durable.GetValueOrDefault(NameOf(path)) is { IsFolder: false } node
            && IsDurable(FolderOf(path)) && node.Synced == node.Content.Length ? node.Content : null;

    public IEnumerable<(string Name, Node Node)>? DurableEntries(string folder) =>
        _folders.TryGetValue(folder, out var found) && IsDurable(folder)
            ? found.Durable.Select(entry => (entry.Key, entry.Value)) : null;

    bool IsDurable(string folder) => folder == Root
        || (IsDurable(FolderOf(folder)) && _folders[FolderOf(folder)].Durable.ContainsKey(NameOf(folder)));

    public bool FolderExists(string path) => _folders.ContainsKey(path);

    public IEnumerable<(string Name, Node Node)> Entries(string folder) =>
        _folders.TryGetValue(folder, out var found)
            ? found.Now.Select(entry => (entry.Key, entry.Value)) : throw new DirectoryNotFoundException(folder);

    public void MakeFolder(string path)
    {
        if (_folders.ContainsKey(path))
            return;
        Put(path, new Node());
        _folders.Add(path, new Folder());
    }

    public void Put(string path, Node node)
    {
        var folder = _folders.GetValueOrDefault(FolderOf(path)) ?? throw new DirectoryNotFoundException(path);
        folder.Now[NameOf(path)] = node;
        folder.Dirty.Add(NameOf(path));
    }

    public void Remove(string path)
    {
        var folder = _folders[FolderOf(path)];
        folder.Now.Remove(NameOf(path));
        folder.Dirty.Add(NameOf(path));
    }

    public void SyncFolder(string path)
    {
        var folder = _folders[path];
        foreach (var name in folder.Dirty)
            if (folder.Now.TryGetValue(name, out var node))
                folder.Durable[name] = node;
            else
                folder.Durable.Remove(name);
        folder.Dirty.Clear();
    }

    /// <summary>What was not synced may have reached the disk or not: each name and each file for itself.</summary>
    public void PowerCut(Random random)
    {
        foreach (var (path, folder) in _folders.OrderBy(one => one.Key, StringComparer.Ordinal).ToList())
        {
            if (path != Root && Find(path) is not { IsFolder: true })
            {
                _folders.Remove(path);
                continue;
            }
            foreach (var name in folder.Dirty.Order(StringComparer.Ordinal))
                if (random.Next(2) == 0)
                    Restore(folder, name);
            folder.Dirty.Clear();
            folder.Durable.Clear();
            foreach (var (name, node) in folder.Now)
                folder.Durable.Add(name, node);
            foreach (var node in folder.Now.Values.Where(node => !node.IsFolder))
                Tear(node, random);
        }
        Locks.Clear();
    }

    static void Restore(Folder folder, string name)
    {
        if (folder.Durable.TryGetValue(name, out var node))
            folder.Now[name] = node;
        else
            folder.Now.Remove(name);
    }

    static void Tear(Node node, Random random)
    {
        var content = node.Content;
        node.Lost = node.Written!.CanWrite || node.Synced < content.Length;
        node.Written.Dispose();
        node.Whole = content;
        if (node.Synced < content.Length)
            content = content[..random.Next((int)node.Synced, content.Length + 1)];
        node.Bytes = content;
        node.Synced = content.Length;
    }

    public static string FolderOf(string path) => path[..path.LastIndexOf('/')];

    static string NameOf(string path) => path[(path.LastIndexOf('/') + 1)..];
}
