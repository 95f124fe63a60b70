namespace CrmBackup.Cdc.Vault;

/// <summary>What the operating system said, in words that help.</summary>
static class DirectoryFailure
{
    public static MediumException NoVault(string root) => new(
        MediumFailure.Absent,
        $"{root} holds no vault any more: vault.json is gone",
        "Is the disk still mounted there? Mount it again; nothing was written to the empty folder.");

    public static MediumException Explain(DiskCalls disk, Exception failure, string root, string path)
    {
        var where = path.Length == 0 || Path.IsPathRooted(path) ? root : $"{root}/{path}";
        if (failure is FileNotFoundException or DirectoryNotFoundException)
            return disk.FolderExists(root)
                ? new MediumException(
                    MediumFailure.Missing, $"{where} is missing",
                    "Run 'crmbackup verify' to see what is affected.", failure)
                : new MediumException(
                    MediumFailure.Absent, $"there is no folder {root}",
                    "Mount the disk that holds the vault, or correct --vault.", failure);
        if (failure is UnauthorizedAccessException)
            return new MediumException(
                MediumFailure.Other, $"no permission for {where}",
                "Run as the user that owns the vault, or give this one the right to read and write it.", failure);
        if (IsFull(failure))
            return new MediumException(
                MediumFailure.Full, $"no room left for {where}",
                "Free some space on the disk that holds the vault.", failure);
        return new MediumException(
            MediumFailure.Other, $"{where}: {failure.Message}",
            "Look at the disk and its mount: the system log may say more.", failure);
    }

    /// <summary>ENOSPC and EDQUOT come as the raw errno; Windows has ERROR_DISK_FULL.</summary>
    static bool IsFull(Exception failure) =>
        failure.HResult is 28 or 122 or 69 or unchecked((int)0x80070070);
}
