using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>The system calls of one process on the vault's disk. Each may be the last before a crash, may let other processes go first, and may
/// fail as disks do. Mutations are breaches of what a <see cref="DirectoryMedium"/> owes to its calls.</summary>
sealed class FaultyDisk(World world, SimulatedProcess process) : DiskCalls
{
    const int NoSpace = 28, InputOutput = 5, Exists = 17, NoEntry = 2, NotPermitted = 1, Again = 11;
    readonly Platter _platter = world.Platter;
    readonly List<string> _open = [];

    public override bool FileExists(string path) => Look(path) is { IsFolder: false };

    public override bool FolderExists(string path)
    {
        process.MustLive();
        return _platter.FolderExists(path);
    }

    public override byte[] ReadAllBytes(string path)
    {
        var node = Look(path) is { IsFolder: false } found ? found : throw new FileNotFoundException(path);
        return world.Options.Mutation == Mutation.TornCommitAccepted && path.Contains("/commits/", StringComparison.Ordinal)
            ? node.Whole ?? node.Content : node.Content;
    }

    public override Stream OpenRead(string path) => new MemoryStream(ReadAllBytes(path), writable: false);

    public override Stream CreateNew(string path, FileShare share, int bufferSize)
    {
        Call("create", path);
        RefuseWhenFull();
        if (_platter.Find(path) is not null)
            throw new IOException($"{path} exists");
        return new WrittenFile(this, path);
    }

    public override void Sync(Stream file) => SyncWritten(((WrittenFile)file).Node, "");

    public override void Sync(string path) => SyncWritten(_platter.Find(path) ?? throw new FileNotFoundException(path), path);

    void SyncWritten(Platter.Node node, string path)
    {
        Sync(node, path);
        RefuseWhenLost(node);
    }

    public override void SyncFound(string path) => Sync(_platter.Find(path) ?? throw new FileNotFoundException(path), path);

    void Sync(Platter.Node node, string path)
    {
        Call("fsync", path);
        RefuseWhenFull();
        if (world.Happens(world.Options.Faults.SyncFails))
            throw new IOException("fsync: input/output error", InputOutput);
        if (world.Options.Mutation == Mutation.FileSyncSkipped)
            return;
        if (path.Contains("/tmp/settle-", StringComparison.Ordinal) && world.Happens(world.Options.Faults.BitFlip))
            world.Flip(node);
        node.Synced = node.Content.Length;
    }

    public override void Move(string from, string to)
    {
        Call("rename", to);
        if (_platter.Find(to) is not null)
            throw new IOException($"{to} exists");
        Rename(from, to);
    }

    void Rename(string from, string to)
    {
        var node = _platter.Find(from) ?? throw new FileNotFoundException(from);
        _platter.Put(to, node);
        _platter.Remove(from);
    }

    public override void Delete(string path)
    {
        Call("unlink", path);
        if (_platter.Find(path) is not null)
            _platter.Remove(path);
    }

    public override void MakeFolder(string path)
    {
        Call("mkdir", path);
        _platter.MakeFolder(path);
    }

    public override List<FolderEntry> Entries(string folder)
    {
        process.MustLive();
        return [.. _platter.Entries(folder.TrimEnd('/')).Select(entry => new FolderEntry(
            entry.Name, entry.Node.IsFolder, entry.Node.Content.Length, entry.Node.Modified))];
    }

    public override long FreeBytes(string folder) => 1L << 40;

    public override IDisposable OpenLocked(string path)
    {
        Call("lock", path);
        if (_platter.Locks.TryGetValue(path, out var holder) && holder.Alive && !process.Elsewhere)
            throw new IOException("locked", Again);
        if (_platter.Find(path) is null)
            new WrittenFile(this, path).Dispose();
        if (!process.Elsewhere)
            _platter.Locks[path] = process;
        return new Held(_platter, path, process);
    }

    public override int Link(string existing, string name)
    {
        Call("link", name);
        if (world.Options.LinksRefused)
            return NotPermitted;
        if (world.Options.Mutation == Mutation.CreateByCheckThenRename)
            return CheckThenRename(existing, name);
        if (_platter.Find(name) is not null)
            return Exists;
        if (!_platter.FolderExists(Platter.FolderOf(name)) || _platter.Find(existing) is not { } node)
            return NoEntry;
        // NFS, a time-out: whether it was done is not known. And where it was, the answer to the second try is "exists".
        var unknown = world.Happens(world.Options.Faults.LinkUnknown);
        if (unknown && world.Random.Next(2) == 0)
            return InputOutput;
        _platter.Put(name, node);
        if (world.Happens(world.Options.Faults.LinkUnknown))
            return Exists;
        return unknown ? InputOutput : 0;
    }

    int CheckThenRename(string existing, string name)
    {
        if (_platter.Find(name) is not null)
            return Exists;
        Call("rename", name);
        Rename(existing, name);
        return 0;
    }

    public override (int Handle, int Errno) OpenFolder(string folder)
    {
        process.MustLive();
        if (!_platter.FolderExists(folder))
            return (-1, NoEntry);
        _open.Add(folder);
        return (_open.Count - 1, 0);
    }

    public override int Sync(int handle)
    {
        Call("fsync folder", _open[handle]);
        if (world.Happens(world.Options.Faults.SyncFails))
            return InputOutput;
        if (world.Options.Mutation != Mutation.FolderSyncSkipped)
            _platter.SyncFolder(_open[handle]);
        return 0;
    }

    public override void Close(int handle) => process.MustLive();

    Platter.Node? Look(string path)
    {
        process.MustLive();
        return _platter.Find(path);
    }

    void Call(string what, string path)
    {
        process.MustLive();
        world.Trace.Add(process.Name, what, path);
        var cuts = world.PowerCuts;
        world.SystemCall(process);
        process.MustLive();
        // Who writes from another machine lives on, and the call is not answered.
        if (world.PowerCuts != cuts)
            throw new IOException("the disk's machine went away", InputOutput);
    }

    static void RefuseWhenLost(Platter.Node node)
    {
        if (node.Lost)
            throw new IOException("stale file handle", InputOutput);
    }

    void RefuseWhenFull()
    {
        if (_platter.Full)
            throw new IOException("no space left on device", NoSpace);
    }

    /// <summary>Shown as it grows; kept when it is closed.</summary>
    sealed class WrittenFile : MemoryStream
    {
        readonly FaultyDisk _disk;

        public WrittenFile(FaultyDisk disk, string path)
        {
            _disk = disk;
            Node = new Platter.Node { Written = this, Modified = disk.Time };
            disk._platter.Put(path, Node);
        }

        public Platter.Node Node { get; }

        /// <summary>All other ways to write come here.</summary>
        public override void Write(byte[] buffer, int offset, int count)
        {
            _disk.MustWrite();
            RefuseWhenLost(Node);
            base.Write(buffer, offset, count);
        }

        protected override void Dispose(bool disposing)
        {
            if (CanWrite)
                Node.Bytes = ToArray();
            base.Dispose(disposing);
        }
    }

    DateTimeOffset Time => world.Time.UtcNow;

    void MustWrite()
    {
        process.MustLive();
        RefuseWhenFull();
    }

    sealed class Held(Platter platter, string path, SimulatedProcess holder) : IDisposable
    {
        public void Dispose()
        {
            if (platter.Locks.GetValueOrDefault(path) == holder)
                platter.Locks.Remove(path);
        }
    }
}

/// <summary>The disk as it would stand after a power cut now, at the worst: what an invariant may count on.</summary>
sealed class DurableView(Platter platter) : DiskCalls
{
    public override bool FileExists(string path) => platter.DurableBytes(path) is not null;

    public override bool FolderExists(string path) => platter.DurableEntries(path) is not null;

    public override byte[] ReadAllBytes(string path) => platter.DurableBytes(path) ?? throw new FileNotFoundException(path);

    public override Stream OpenRead(string path) => new MemoryStream(ReadAllBytes(path), writable: false);

    public override List<FolderEntry> Entries(string folder) =>
        [.. (platter.DurableEntries(folder.TrimEnd('/')) ?? throw new DirectoryNotFoundException(folder)).Where(entry =>
            entry.Node.IsFolder || entry.Node.Synced == entry.Node.Content.Length).Select(entry => new FolderEntry(
                entry.Name, entry.Node.IsFolder, entry.Node.Content.Length, entry.Node.Modified))];
}
