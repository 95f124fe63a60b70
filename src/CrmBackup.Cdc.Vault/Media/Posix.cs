using System.Runtime.InteropServices;

namespace CrmBackup.Cdc.Vault;

/// <summary>The few system calls that .NET does not offer: an exclusive name for a finished file (link), the durability
/// of a
/// directory (fsync), and how many files still fit (statvfs). Elsewhere than on Linux and macOS link answers
/// "refused".</summary>
static class Posix
{
    public enum LinkResult
    {
        Linked,
        /// <summary>The name is taken.</summary>
        Exists,
        /// <summary>A folder of the name, or the file itself, is not there.</summary>
        Missing,
        /// <summary>This file system has no links.</summary>
        Refused,
        /// <summary>Whether the name was given is not known: look.</summary>
        Unknown,
    }

    /// <param name="error">The errno, 0 when linked.</param>
    public static LinkResult Link(DiskCalls disk, string existing, string name, out int error)
    {
        error = 0;
        if (!OperatingSystem.IsLinux() && !OperatingSystem.IsMacOS())
            return LinkResult.Refused;
        error = disk.Link(existing, name);
        return error switch
        {
            0 => LinkResult.Linked,
            17 => LinkResult.Exists,
            2 => LinkResult.Missing,
            // EPERM (FAT, exFAT, protected hard links), EMLINK, ENOSYS, EOPNOTSUPP
            1 or 31 or 38 or 95 or 78 or 45 or 102 => LinkResult.Refused,
            _ => LinkResult.Unknown,
        };
    }

    /// <summary>Makes the names in a directory durable.</summary>
    /// <returns>False when this file system cannot sync directories (EINVAL): it then has no need, or no
    /// hope.</returns>
    /// <exception cref="IOException">It could not: nothing in the directory may be taken as durable.</exception>
    public static bool SyncDirectory(DiskCalls disk, string directory)
    {
        if (OperatingSystem.IsWindows())
            return false;
        var (handle, errno) = disk.OpenFolder(directory);
        if (errno != 0)
            throw new IOException($"cannot open the directory {directory}: {Describe(errno)}", errno);
        try
        {
            errno = disk.Sync(handle);
            return errno switch
            {
                0 => true,
                22 or 95 => false,
                _ => throw new IOException($"cannot sync the directory {directory}: {Describe(errno)}", errno),
            };
        }
        finally
        {
            disk.Close(handle);
        }
    }

    /// <summary>How many more files the file system can hold; null where it has no fixed number, or that is not
    /// known.</summary>
    public static long? FreeInodes(string path)
    {
        if (!OperatingSystem.IsLinux() || !Environment.Is64BitProcess)
            return null;
        // struct statvfs of 64-bit Linux begins: f_bsize f_frsize f_blocks f_bfree f_bavail f_files f_ffree f_favail
        var words = new ulong[32];
        return statvfs(path, words) == 0 && words[5] > 0 ? (long)words[7] : null;
    }

    public static string Describe(int errno) => Marshal.GetPInvokeErrorMessage(errno);

#pragma warning disable SYSLIB1054, CA5392 // LibraryImport needs unsafe code, which this solution does without
    [DllImport("libc", SetLastError = true)]
    static extern int statvfs([MarshalAs(UnmanagedType.LPUTF8Str)] string path, [Out] ulong[] words);
#pragma warning restore SYSLIB1054, CA5392
}
