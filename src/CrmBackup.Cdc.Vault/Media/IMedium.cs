using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Where a vault lives. Paths are relative, '/' separated and checked by <see cref="VaultPath"/>. What is
/// reported as created
/// is durable: it survives a power cut. Safe to use from several threads.</summary>
public interface IMedium
{
    /// <summary>Where it is, for people: an absolute folder or an address.</summary>
    string Location { get; }

    /// <summary>False: a create that is cut off leaves a torn file (media without link or an equal).</summary>
    bool CreatesWhole { get; }

    /// <summary>False: the credentials grant create and read alone. Prune runs with others.</summary>
    bool GrantsDelete { get; }

    /// <summary>The whole file; null when there is none.</summary>
    Task<byte[]?> ReadAsync(string path, CancellationToken stop);

    /// <summary>Seekable. A missing file is a <see cref="MediumException"/> with
    /// <see cref="MediumFailure.Missing"/>.</summary>
    Stream OpenRead(string path);

    /// <summary>Creates the file, whole and durable, only if no file has the name: of any number of racing writers
    /// exactly one is told true.
    /// True also when the file exists already with these very bytes (an earlier try of ours whose answer was
    /// lost).</summary>
    Task<bool> TryCreateAsync(string path, ReadOnlyMemory<byte> bytes, CancellationToken stop);

    /// <summary>Makes durable what is there: whoever created it may have been cut off before it was told that it is.</summary>
    Task KeepAsync(string path, CancellationToken stop);

    /// <summary>A new absolute local path to write a file at that will be published here. The caller deletes what it
    /// does not publish.</summary>
    /// <param name="hint">For people who look into the folder: [a-z0-9._-].</param>
    string NewTemporaryPath(string hint);

    /// <summary>Opens a new file at a temporary path, for writing.</summary>
    Stream CreateTemporary(string temporaryPath, int bufferSize);

    /// <summary>Deletes a temporary file that is not to be published.</summary>
    void DeleteTemporary(string temporaryPath);

    /// <summary>Makes a finished temporary file durable under its final name, which no other writer chooses. Never
    /// replaces a file.</summary>
    Task PublishAsync(string temporaryPath, string finalPath, CancellationToken stop);

    /// <summary>As <see cref="PublishAsync"/>, and a file that has the name already, which is damaged, gives way in the same moment.</summary>
    Task ReplaceAsync(string temporaryPath, string finalPath, CancellationToken stop);

    /// <summary>All files below a folder, in ordinal order of their paths.</summary>
    /// <param name="folder">Empty for the whole vault, else ends with '/'. A folder that does not exist holds no
    /// files.</param>
    /// <param name="after">Only paths greater than this one.</param>
    IAsyncEnumerable<MediumFile> ListAsync(string folder, string? after = null, CancellationToken stop = default);

    /// <summary>Deleting what is not there is fine. Not durable: after a power cut the file may be there
    /// again.</summary>
    Task DeleteAsync(string path, CancellationToken stop);

    Task<long> FreeBytesAsync(CancellationToken stop);

    /// <summary>Held by at most one living process among those that share the medium's locks; ends with the process.
    /// Null when another holds it.
    /// Only a courtesy that lets a second writer be refused before it fences the first: safety rests on
    /// <see cref="TryCreateAsync"/> alone.</summary>
    IDisposable? TryLock(string name);
}

public sealed record MediumFile(string Path, long Bytes, DateTimeOffset Modified);

public enum MediumFailure
{
    Other,
    /// <summary>The file is not there.</summary>
    Missing,
    /// <summary>No room: waiting for some is sensible.</summary>
    Full,
    /// <summary>It can be read, and not written.</summary>
    ReadOnly,
    /// <summary>The medium itself is not there, or it is not the vault's: nothing may be created.</summary>
    Absent,
}

/// <summary>The medium did not do what it was asked to. Nothing that was not reported as done may be taken as
/// done.</summary>
public sealed class MediumException(MediumFailure failure, string message, string hint, Exception? inner = null)
    : BackupException(message, hint, ExitCode.Failed, inner)
{
    public MediumFailure Failure { get; } = failure;
}
