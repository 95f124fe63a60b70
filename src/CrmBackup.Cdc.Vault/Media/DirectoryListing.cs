using System.IO.Enumeration;

namespace CrmBackup.Cdc.Vault;

/// <summary>Walks a folder in ordinal order of whole paths, as object stores list their keys. Links are not followed: a
/// vault
/// holds none, and what they point at is not ours to read or delete.</summary>
static class DirectoryListing
{
    readonly record struct Entry(string Name, bool IsFolder, long Bytes, DateTimeOffset Modified);

    public static IEnumerable<MediumFile> Files(string root, string folder, string? after)
    {
        if (folder.Length > 0 && (!folder.EndsWith('/') || !VaultPath.IsValid(folder[..^1])))
            throw new ArgumentException($"'{folder}' is not a folder of the vault", nameof(folder));
        return Walk(root, folder, after);
    }

    static IEnumerable<MediumFile> Walk(string root, string folder, string? after)
    {
        foreach (var entry in Entries(root, folder))
        {
            var path = folder + entry.Name;
            if (entry.IsFolder)
            {
                // 'after' greater than every path in the folder: '0' is the character behind '/'.
                if (after is not null && string.CompareOrdinal(after, path[..^1] + "0") >= 0)
                    continue;
                foreach (var file in Walk(root, path, after))
                    yield return file;
            }
            else if (after is null || string.CompareOrdinal(path, after) > 0)
            {
                yield return new MediumFile(path, entry.Bytes, entry.Modified);
            }
        }
    }

    static List<Entry> Entries(string root, string folder)
    {
        var full = Path.Combine(root, folder);
        var entries = new List<Entry>();
        try
        {
            var found = new FileSystemEnumerable<Entry>(
                full,
                (ref FileSystemEntry entry) => entry.IsDirectory
                    ? new Entry(entry.FileName.ToString() + "/", true, 0, default)
                    : new Entry(entry.FileName.ToString(), false, entry.Length, entry.LastWriteTimeUtc),
                new EnumerationOptions { AttributesToSkip = FileAttributes.ReparsePoint, IgnoreInaccessible = false })
            {
                // The file system's own, readable by root alone.
                ShouldIncludePredicate = (ref FileSystemEntry entry) =>
                    folder.Length > 0 || !entry.FileName.SequenceEqual("lost+found"),
            };
            entries.AddRange(found);
        }
        catch (DirectoryNotFoundException) when (folder.Length > 0)
        {
            return entries;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw DirectoryFailure.Explain(failure, root, folder);
        }
        entries.Sort((left, right) => string.CompareOrdinal(left.Name, right.Name));
        return entries;
    }
}
