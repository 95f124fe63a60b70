using System.Collections.Concurrent;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>A vault in a folder of a local or mounted disk.</summary>
public sealed class DirectoryMedium : IMedium
{
    const UnixFileMode FileMode0640 = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead;
    const UnixFileMode FolderMode0750 = FileMode0640 | UnixFileMode.UserExecute | UnixFileMode.GroupExecute;
    const string Temporary = "tmp";

    /// <summary>Folders whose own names this process knows to be durable.</summary>
    readonly ConcurrentDictionary<string, bool> _durableFolders = new(StringComparer.Ordinal);
    volatile bool _linkRefused;

    /// <param name="root">Need not exist: what is missing is said when it is used.</param>
    public DirectoryMedium(string root) => Location = Path.TrimEndingDirectorySeparator(Path.GetFullPath(root));

    /// <summary>As on a file system without links, for tests.</summary>
    internal DirectoryMedium(string root, bool withoutLinks) : this(root) => _linkRefused = withoutLinks;

    public string Location { get; }

    public bool CreatesWhole => !_linkRefused;

    /// <summary>Makes the folder for a new vault. Only <c>init</c> does: nothing else may create a vault's root, which
    /// would
    /// turn the mount point of a disk that is not there into a vault.</summary>
    public static DirectoryMedium CreateRoot(string root)
    {
        var medium = new DirectoryMedium(root);
        medium.Try(medium.Location, () =>
        {
            MakeFolder(medium.Location);
            MakeFolder(Path.Combine(medium.Location, Temporary));
            return 0;
        });
        return medium;
    }

    public Task<byte[]?> ReadAsync(string path, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return Task.FromResult(Try(path, () => ReadIfThere(Full(path))));
    }

    public Stream OpenRead(string path) =>
        Try(path, () => new FileStream(Full(path), new FileStreamOptions
        {
            Mode = FileMode.Open,
            Access = FileAccess.Read,
            // A segment is never changed, and prune may delete it under us: the bytes stay until we close.
            Share = FileShare.Read | FileShare.Delete,
            BufferSize = 1 << 16,
        }));

    public Task<bool> TryCreateAsync(string path, ReadOnlyMemory<byte> bytes, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return Task.FromResult(Try(path, () =>
        {
            var final = Full(path);
            MakeDurableFolder(Path.GetDirectoryName(final)!);
            return _linkRefused ? CreateInPlace(final, bytes.Span) : CreateByLink(final, bytes.Span);
        }));
    }

    public string NewTemporaryPath(string hint) =>
        Try(hint, () =>
        {
            var folder = Path.Combine(Location, Temporary);
            MakeDurableFolder(folder);
            return Path.Combine(folder, VaultPath.Check($"{hint}-{Guid.NewGuid():N}"));
        });

    public Task PublishAsync(string temporaryPath, string finalPath, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return Task.FromResult(Try(finalPath, () =>
        {
            var final = Full(finalPath);
            using (var file = File.OpenHandle(temporaryPath))
            {
                if (!OperatingSystem.IsWindows())
                    File.SetUnixFileMode(file, FileMode0640);
                FailPoint.Hit(FailPoint.SegmentFsync);
                RandomAccess.FlushToDisk(file);
            }
            MakeDurableFolder(Path.GetDirectoryName(final)!);
            File.Move(temporaryPath, final);
            Posix.SyncDirectory(Path.GetDirectoryName(final)!);
            return 0;
        }));
    }

    public IAsyncEnumerable<MediumFile> ListAsync(
        string folder, string? after = null, CancellationToken stop = default) =>
        DirectoryListing.Files(Location, folder, after).ToAsyncEnumerable();

    public Task DeleteAsync(string path, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return Task.FromResult(Try(path, () =>
        {
            var full = Full(path);
            if (File.Exists(full))
                File.Delete(full);
            return 0;
        }));
    }

    public Task<long> FreeBytesAsync(CancellationToken stop) =>
        Task.FromResult(Try("", () => new DriveInfo(Location).AvailableFreeSpace));

    public IDisposable? TryLock(string name)
    {
        var path = Try(name, () =>
        {
            var folder = Path.Combine(Location, Temporary);
            MakeDurableFolder(folder);
            return Path.Combine(folder, VaultPath.Check(name));
        });
        try
        {
            // FileShare.None is flock(LOCK_EX | LOCK_NB) here.
            return new FileStream(path, NewFile(FileMode.OpenOrCreate, FileShare.None));
        }
        catch (IOException failure) when (failure.HResult is 11 or 35 or unchecked((int)0x80070020))
        {
            return null;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw DirectoryFailure.Explain(failure, Location, name);
        }
    }

    bool CreateByLink(string final, ReadOnlySpan<byte> bytes)
    {
        var temporary = NewTemporaryPath("create");
        try
        {
            WriteNew(temporary, bytes);
            var result = Posix.Link(temporary, final, out var error);
            switch (result)
            {
                case Posix.LinkResult.Linked:
                    break;
                case Posix.LinkResult.Refused:
                    _linkRefused = true;
                    return CreateInPlace(final, bytes);
                default:
                    // Exists may be our own success whose answer was lost (NFS sends again), so may an error be: look.
                    if (ReadIfThere(final) is not { } found)
                        throw new IOException($"link: {Posix.Describe(error)}", error);
                    if (!found.AsSpan().SequenceEqual(bytes))
                        return false;
                    break;
            }
            Posix.SyncDirectory(Path.GetDirectoryName(final)!);
            return true;
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>O_CREAT | O_EXCL at the final name: exclusive, but a crash can leave a torn file.</summary>
    static bool CreateInPlace(string final, ReadOnlySpan<byte> bytes)
    {
        FileStream file;
        try
        {
            // Readers and rivals may look while we write: what they see is torn, and they know what that means.
            file = new FileStream(final, NewFile(FileMode.CreateNew, FileShare.ReadWrite | FileShare.Delete));
        }
        catch (IOException) when (File.Exists(final))
        {
            return ReadIfThere(final) is { } found && found.AsSpan().SequenceEqual(bytes);
        }
        try
        {
            using (file)
            {
                file.Write(bytes);
                file.Flush(flushToDisk: true);
            }
        }
        catch (IOException)
        {
            // Ours alone, and nobody was told of it. What the page cache shows of it may never reach the disk.
            File.Delete(final);
            throw;
        }
        Posix.SyncDirectory(Path.GetDirectoryName(final)!);
        return true;
    }

    static void WriteNew(string path, ReadOnlySpan<byte> bytes)
    {
        using var file = new FileStream(path, NewFile(FileMode.CreateNew, FileShare.None));
        file.Write(bytes);
        file.Flush(flushToDisk: true);
    }

    static FileStreamOptions NewFile(FileMode mode, FileShare share)
    {
        var options = new FileStreamOptions
        {
            Mode = mode,
            Access = FileAccess.ReadWrite,
            Share = share,
            BufferSize = 0,
        };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = FileMode0640;
        return options;
    }

    static byte[]? ReadIfThere(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <summary>The folder exists and its name is durable, up to the root, which is never made here.</summary>
    void MakeDurableFolder(string folder)
    {
        if (folder == Location || (_durableFolders.ContainsKey(folder) && Directory.Exists(folder)))
            return;
        // A folder that we expect and do not find: the disk may have gone, and its mount point be an empty folder now.
        if (!Directory.Exists(folder) && !File.Exists(Path.Combine(Location, VaultPath.Identity)))
            throw DirectoryFailure.NoVault(Location);
        var parent = Path.GetDirectoryName(folder)!;
        MakeDurableFolder(parent);
        MakeFolder(folder);
        _durableFolders[folder] = true;
    }

    static void MakeFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(folder);
        else
            Directory.CreateDirectory(folder, FolderMode0750);
        if (Path.GetDirectoryName(folder) is { } parent)
            Posix.SyncDirectory(parent);
    }

    string Full(string path) => Path.Combine(Location, VaultPath.Check(path));

    T Try<T>(string path, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw DirectoryFailure.Explain(failure, Location, path);
        }
    }
}
