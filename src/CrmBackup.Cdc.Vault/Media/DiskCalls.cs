using System.IO.Enumeration;
using System.Runtime.InteropServices;

namespace CrmBackup.Cdc.Vault;

/// <summary>An entry of a folder, as the operating system tells it.</summary>
readonly record struct FolderEntry(string Name, bool IsFolder, long Bytes, DateTimeOffset Modified);

/// <summary>What a <see cref="DirectoryMedium"/> asks of the operating system, call by call; nothing is decided here. The simulator puts a
/// disk beneath that forgets what was not synced, fails, and is raced for: so that the order of the calls above is what is tested.</summary>
class DiskCalls
{
    public static readonly DiskCalls Real = new();

    const UnixFileMode FileMode0640 = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead;
    const UnixFileMode FolderMode0750 = FileMode0640 | UnixFileMode.UserExecute | UnixFileMode.GroupExecute;

    public virtual bool FileExists(string path) => File.Exists(path);

    public virtual bool FolderExists(string path) => Directory.Exists(path);

    /// <summary>Commits, checkpoints and schemas: what is larger was not written by us.</summary>
    const long WholeFileBytesMax = 1L << 30;

    public virtual byte[] ReadAllBytes(string path) => new FileInfo(path) is { Exists: true, Length: > WholeFileBytesMax and var length }
        ? throw new IOException($"it has {length} bytes, no such file of a vault has") : File.ReadAllBytes(path);

    public virtual Stream OpenRead(string path) => new FileStream(path, new FileStreamOptions
    {
        Mode = FileMode.Open,
        Access = FileAccess.Read,
        // A segment is never changed, and prune may delete it under us: the bytes stay until we close.
        Share = FileShare.Read | FileShare.Delete,
        BufferSize = 1 << 16,
    });

    /// <summary>O_CREAT | O_EXCL, for writing.</summary>
    public virtual Stream CreateNew(string path, FileShare share, int bufferSize) =>
        new FileStream(path, NewFile(FileMode.CreateNew, share, bufferSize));

    /// <summary>fsync of a file that <see cref="CreateNew"/> opened.</summary>
    public virtual void Sync(Stream file) => ((FileStream)file).Flush(flushToDisk: true);

    /// <summary>fsync of a finished file, which also gets a vault's mode.</summary>
    public virtual void Sync(string path)
    {
        using var file = File.OpenHandle(path);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(file, FileMode0640);
        RandomAccess.FlushToDisk(file);
    }

    /// <summary>fsync of a file that somebody else made.</summary>
    public virtual void SyncFound(string path)
    {
        using var file = File.OpenHandle(path);
        RandomAccess.FlushToDisk(file);
    }

    /// <summary>Looks, then renames: for names that nobody else chooses.</summary>
    public virtual void Move(string from, string to) => File.Move(from, to);

#pragma warning disable RS0030 // Replacing is what it is for
    /// <summary>rename(2): whoever looks sees the one file or the other.</summary>
    public virtual void Replace(string from, string to) => File.Move(from, to, overwrite: true);
#pragma warning restore RS0030

    public virtual void Delete(string path) => File.Delete(path);

    public virtual void MakeFolder(string path)
    {
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(path);
        else
            Directory.CreateDirectory(path, FolderMode0750);
    }

    /// <summary>What is no link.</summary>
    public virtual List<FolderEntry> Entries(string folder) => [.. new FileSystemEnumerable<FolderEntry>(
        folder,
        (ref FileSystemEntry entry) => entry.IsDirectory
            ? new FolderEntry(entry.FileName.ToString(), true, 0, default)
            : new FolderEntry(entry.FileName.ToString(), false, entry.Length, entry.LastWriteTimeUtc),
        new EnumerationOptions { AttributesToSkip = FileAttributes.ReparsePoint, IgnoreInaccessible = false })];

    public virtual long FreeBytes(string folder) => new DriveInfo(folder).AvailableFreeSpace;

    /// <summary>FileShare.None is flock(LOCK_EX | LOCK_NB) here: an IOException when another process has it.</summary>
    public virtual IDisposable OpenLocked(string path) => new FileStream(path, NewFile(FileMode.OpenOrCreate, FileShare.None, 0));

    /// <returns>0, or the errno.</returns>
    public virtual int Link(string existing, string name) => Errno(() => link(existing, name)).Errno;

    /// <returns>A handle for <see cref="Sync(int)"/> and <see cref="Close"/>, or the errno.</returns>
    public virtual (int Handle, int Errno) OpenFolder(string folder) =>
        Errno(() => open(folder, OperatingSystem.IsMacOS() ? 0x1000000 : 0x80000, 0));

    /// <returns>0, or the errno.</returns>
    public virtual int Sync(int handle) => Errno(() => fsync(handle)).Errno;

    public virtual void Close(int handle) => _ = close(handle);

    static FileStreamOptions NewFile(FileMode mode, FileShare share, int bufferSize)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.ReadWrite, Share = share, BufferSize = bufferSize };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = FileMode0640;
        return options;
    }

    static (int Result, int Errno) Errno(Func<int> call)
    {
        const int interrupted = 4;
        while (true)
        {
            var result = call();
            if (result >= 0)
                return (result, 0);
            if (Marshal.GetLastPInvokeError() is var errno and not interrupted)
                return (result, errno);
        }
    }

#pragma warning disable SYSLIB1054, CA5392 // LibraryImport needs unsafe code, which this solution does without
    [DllImport("libc", SetLastError = true)]
    static extern int link(
        [MarshalAs(UnmanagedType.LPUTF8Str)] string existing, [MarshalAs(UnmanagedType.LPUTF8Str)] string name);

    [DllImport("libc", SetLastError = true)]
    static extern int open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, int mode);

    [DllImport("libc", SetLastError = true)]
    static extern int fsync(int handle);

    [DllImport("libc", SetLastError = true)]
    static extern int close(int handle);
#pragma warning restore SYSLIB1054, CA5392
}
