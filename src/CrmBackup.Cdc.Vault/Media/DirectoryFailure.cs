namespace CrmBackup.Cdc.Vault;

/// <summary>What the operating system said, in words that help.</summary>
static class DirectoryFailure
{
    /// <summary>EROFS.</summary>
    const int ReadOnly = 30;

    /// <summary>ENODEV, ENOTCONN, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH, ESTALE: what a network file system or a pulled disk answers.</summary>
    static readonly int[] _away = OperatingSystem.IsMacOS() ? [19, 57, 60, 64, 65, 70] : [19, 107, 110, 112, 113, 116];

    /// <summary>An unmounted disk leaves an empty folder.</summary>
    public static MediumException NoVault(DiskCalls disk, string root, Exception? inner = null) => disk.FolderExists(root)
        ? new(MediumFailure.Absent, $"{root} holds no vault any more: vault.json is gone",
            "Is the disk still mounted there? Mount it again; nothing was written to the empty folder.", inner)
        : new(MediumFailure.Absent, $"there is no folder {root}",
            "Mount the disk that holds the vault, or correct --vault.", inner);

    public static MediumException Explain(DiskCalls disk, Exception failure, string root, string path)
    {
        var where = path.Length == 0 || Path.IsPathRooted(path) ? root : $"{root}/{path}";
        if (failure is FileNotFoundException or DirectoryNotFoundException)
            return !disk.FileExists($"{root}/{VaultPath.Identity}") ? NoVault(disk, root, failure)
                : new MediumException(
                    MediumFailure.Missing, $"{where} is missing",
                    "Run 'crmbackup verify' to see what is affected.", failure);
        if (failure is UnauthorizedAccessException)
            return new MediumException(
                MediumFailure.Other, $"no permission for {where}",
                "Run as the user that owns the vault, or give this one the right to read and write it.", failure);
        if (IsFull(failure))
            return new MediumException(
                MediumFailure.Full, $"no room left for {where}",
                "Free some space on the disk that holds the vault.", failure);
        if (failure.HResult == ReadOnly)
            return new MediumException(
                MediumFailure.ReadOnly, $"{root} is read-only",
                "Mount the disk that holds the vault for writing; a file system that met an error turns read-only by itself: the system log says more.", failure);
        if (_away.Contains(failure.HResult))
            return new MediumException(
                MediumFailure.Absent, $"{root} does not answer: {failure.Message}",
                "Look at the mount and at the server behind it.", failure);
        return new MediumException(
            MediumFailure.Other, $"{where}: {failure.Message}",
            "Look at the disk and its mount: the system log may say more.", failure);
    }

    /// <summary>ENOSPC and EDQUOT come as the raw errno; Windows has ERROR_DISK_FULL.</summary>
    static bool IsFull(Exception failure) =>
        failure.HResult is 28 or 122 or 69 or unchecked((int)0x80070070);
}
