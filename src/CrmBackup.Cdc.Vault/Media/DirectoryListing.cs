namespace CrmBackup.Cdc.Vault;

/// <summary>Walks a folder in ordinal order of whole paths, as object stores list their keys. Links are not followed: a
/// vault
/// holds none, and what they point at is not ours to read or delete.</summary>
static class DirectoryListing
{
    public static IEnumerable<MediumFile> Files(DiskCalls disk, string root, string folder, string? after)
    {
        if (folder.Length > 0 && (!folder.EndsWith('/') || !VaultPath.IsValid(folder[..^1])))
            throw new ArgumentException($"'{folder}' is not a folder of the vault", nameof(folder));
        return Walk(disk, root, folder, after);
    }

    static IEnumerable<MediumFile> Walk(DiskCalls disk, string root, string folder, string? after)
    {
        foreach (var entry in Entries(disk, root, folder))
        {
            var path = folder + entry.Name;
            if (entry.IsFolder)
            {
                // 'after' greater than every path in the folder: '0' is the character behind '/'.
                if (after is not null && string.CompareOrdinal(after, path[..^1] + "0") >= 0)
                    continue;
                foreach (var file in Walk(disk, root, path, after))
                    yield return file;
            }
            else if (after is null || string.CompareOrdinal(path, after) > 0)
            {
                yield return new MediumFile(path, entry.Bytes, entry.Modified);
            }
        }
    }

    /// <summary>A folder's name ends with '/', so that the order is that of whole paths.</summary>
    static List<FolderEntry> Entries(DiskCalls disk, string root, string folder)
    {
        List<FolderEntry> entries;
        try
        {
            entries = disk.Entries(Path.Combine(root, folder));
        }
        catch (DirectoryNotFoundException) when (folder.Length > 0)
        {
            return [];
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw DirectoryFailure.Explain(disk, failure, root, folder);
        }
        // The file system's own, readable by root alone.
        entries.RemoveAll(entry => folder.Length == 0 && entry.Name == "lost+found");
        var named = entries.ConvertAll(entry => entry.IsFolder ? entry with { Name = entry.Name + "/" } : entry);
        named.Sort((left, right) => string.CompareOrdinal(left.Name, right.Name));
        return named;
    }
}
