using System.Collections.Concurrent;
using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>A vault in a folder of a local or mounted disk.</summary>
public sealed class DirectoryMedium : IMedium
{
    const string Temporary = "tmp";

    /// <summary>Folders whose own names this process knows to be durable.</summary>
    readonly ConcurrentDictionary<string, bool> _durableFolders = new(StringComparer.Ordinal);
    readonly DiskCalls _disk = DiskCalls.Real;
    /// <summary>Null: temporary files lie on the medium. Else it grants nothing but create and read, and they lie here.</summary>
    readonly string? _workshop;
    volatile bool _linkRefused;

    /// <param name="root">Need not exist: what is missing is said when it is used.</param>
    public DirectoryMedium(string root) => Location = Path.TrimEndingDirectorySeparator(Path.GetFullPath(root));

    /// <param name="createOnly">The credentials grant create and read, and neither overwrite, rename nor delete: files are made at their
    /// final names, finished ones elsewhere before.</param>
    public DirectoryMedium(string root, bool createOnly) : this(root)
    {
        _linkRefused = createOnly;
        _workshop = createOnly ? Path.Combine(Path.GetTempPath(), $"crmbackup-{Sha256.Of(Encoding.UTF8.GetBytes(Location)).Hex[..16]}") : null;
    }

    internal DirectoryMedium(string root, DiskCalls disk, bool createOnly = false) : this(root, createOnly) => _disk = disk;

    /// <summary>As on a file system without links, for tests.</summary>
    internal static DirectoryMedium WithoutLinks(string root) => new(root) { _linkRefused = true };

    public string Location { get; }

    public bool CreatesWhole => !_linkRefused;

    public bool GrantsDelete => _workshop is null;

    /// <summary>Makes the folder for a new vault. Only <c>init</c> does: nothing else may create a vault's root, which
    /// would
    /// turn the mount point of a disk that is not there into a vault.</summary>
    public static DirectoryMedium CreateRoot(string root)
    {
        var medium = new DirectoryMedium(root);
        medium.Try(medium.Location, () =>
        {
            medium.MakeFolder(medium.Location);
            medium.MakeFolder(Path.Combine(medium.Location, Temporary));
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
        Try(path, () => _disk.OpenRead(Full(path)));

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

    public Task KeepAsync(string path, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return Task.FromResult(Try(path, () =>
        {
            Keep(Full(path));
            return 0;
        }));
    }

    public string NewTemporaryPath(string hint) =>
        Try(hint, () =>
        {
            return Path.Combine(TemporaryFolder(), VaultPath.Check($"{hint}-{Guid.NewGuid():N}"));
        });

    public Stream CreateTemporary(string temporaryPath, int bufferSize) =>
        Try(temporaryPath, () => Workshop.CreateNew(temporaryPath, FileShare.None, bufferSize));

    public void DeleteTemporary(string temporaryPath) => Workshop.Delete(temporaryPath);

    public Task PublishAsync(string temporaryPath, string finalPath, CancellationToken stop) =>
        PublishAsync(temporaryPath, finalPath, _disk.Move, stop);

    public Task ReplaceAsync(string temporaryPath, string finalPath, CancellationToken stop) =>
        PublishAsync(temporaryPath, finalPath, _disk.Replace, stop);

    Task<int> PublishAsync(string temporaryPath, string finalPath, Action<string, string> move, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return Task.FromResult(Try(finalPath, () =>
        {
            var final = Full(finalPath);
            FailPoint.Hit(FailPoint.SegmentFsync);
            if (_workshop is not null)
            {
                MakeDurableFolder(Path.GetDirectoryName(final)!);
                CopyInPlace(temporaryPath, final);
                return 0;
            }
            _disk.Sync(temporaryPath);
            MakeDurableFolder(Path.GetDirectoryName(final)!);
            move(temporaryPath, final);
            Posix.SyncDirectory(_disk, Path.GetDirectoryName(final)!);
            return 0;
        }));
    }

    public IAsyncEnumerable<MediumFile> ListAsync(
        string folder, string? after = null, CancellationToken stop = default) =>
        DirectoryListing.Files(_disk, Location, folder, after).ToAsyncEnumerable();

    public Task DeleteAsync(string path, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return Task.FromResult(Try(path, () =>
        {
            var full = Full(path);
            if (_disk.FileExists(full))
                _disk.Delete(full);
            return 0;
        }));
    }

    public Task<long> FreeBytesAsync(CancellationToken stop) =>
        Task.FromResult(Try("", () => _disk.FreeBytes(Location)));

    public IDisposable? TryLock(string name)
    {
        var path = Try(name, () =>
        {
            return Path.Combine(TemporaryFolder(), VaultPath.Check(name));
        });
        try
        {
            return Workshop.OpenLocked(path);
        }
        catch (IOException failure) when (failure.HResult is 11 or 35 or unchecked((int)0x80070020))
        {
            return null;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw DirectoryFailure.Explain(_disk, failure, Location, name);
        }
    }

    bool CreateByLink(string final, ReadOnlySpan<byte> bytes)
    {
        var temporary = NewTemporaryPath("create");
        try
        {
            WriteNew(temporary, bytes);
            var result = Posix.Link(_disk, temporary, final, out var error);
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
            Posix.SyncDirectory(_disk, Path.GetDirectoryName(final)!);
            return true;
        }
        finally
        {
            _disk.Delete(temporary);
        }
    }

    /// <summary>O_CREAT | O_EXCL at the final name: exclusive, but a crash can leave a torn file.</summary>
    bool CreateInPlace(string final, ReadOnlySpan<byte> bytes)
    {
        Stream file;
        try
        {
            // Readers and rivals may look while we write: what they see is torn, and they know what that means.
            file = _disk.CreateNew(final, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        }
        catch (IOException) when (_disk.FileExists(final))
        {
            if (ReadIfThere(final) is not { } found || !found.AsSpan().SequenceEqual(bytes))
                return false;
            Keep(final);
            return true;
        }
        try
        {
            using (file)
            {
                file.Write(bytes);
                _disk.Sync(file);
            }
        }
        catch (IOException)
        {
            // Ours alone, and nobody was told of it. What the page cache shows of it may never reach the disk.
            if (_workshop is null)
                _disk.Delete(final);
            throw;
        }
        Posix.SyncDirectory(_disk, Path.GetDirectoryName(final)!);
        return true;
    }

    void Keep(string path)
    {
        _disk.SyncFound(path);
        Posix.SyncDirectory(_disk, Path.GetDirectoryName(path)!);
    }

    /// <summary>A name that no commit names yet, and no other writer chooses: cut off, it is an orphan.</summary>
    void CopyInPlace(string finished, string final)
    {
        using (var input = Workshop.OpenRead(finished))
        using (var output = _disk.CreateNew(final, FileShare.Read, 1 << 16))
        {
            input.CopyTo(output);
            output.Flush();
            _disk.Sync(output);
        }
        Posix.SyncDirectory(_disk, Path.GetDirectoryName(final)!);
        Workshop.Delete(finished);
    }

    /// <summary>Where unfinished files lie: the medium, or this machine's own disk.</summary>
    DiskCalls Workshop => _workshop is null ? _disk : DiskCalls.Real;

    string TemporaryFolder()
    {
        if (_workshop is not null)
        {
            Workshop.MakeFolder(_workshop);
            return _workshop;
        }
        var folder = Path.Combine(Location, Temporary);
        MakeDurableFolder(folder);
        return folder;
    }

    void WriteNew(string path, ReadOnlySpan<byte> bytes)
    {
        using var file = _disk.CreateNew(path, FileShare.None, bufferSize: 0);
        file.Write(bytes);
        _disk.Sync(file);
    }

    byte[]? ReadIfThere(string path)
    {
        try
        {
            return _disk.ReadAllBytes(path);
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <summary>The folder exists and its name is durable, up to the root, which is never made here.</summary>
    void MakeDurableFolder(string folder)
    {
        if (folder == Location || (_durableFolders.ContainsKey(folder) && _disk.FolderExists(folder)))
            return;
        // A folder that we expect and do not find: the disk may have gone, and its mount point be an empty folder now.
        if (!_disk.FolderExists(folder) && !_disk.FileExists(Path.Combine(Location, VaultPath.Identity)))
            throw DirectoryFailure.NoVault(_disk, Location);
        var parent = Path.GetDirectoryName(folder)!;
        MakeDurableFolder(parent);
        MakeFolder(folder);
        _durableFolders[folder] = true;
    }

    void MakeFolder(string folder)
    {
        _disk.MakeFolder(folder);
        if (Path.GetDirectoryName(folder) is { } parent)
            Posix.SyncDirectory(_disk, parent);
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
            throw DirectoryFailure.Explain(_disk, failure, Location, path);
        }
    }
}
