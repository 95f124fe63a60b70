using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What an archive of this machine waits for, <c>heads/VAULT.waiting</c> in the state directory: a vault that takes no data cannot
/// say so itself.</summary>
public sealed class WaitingNote(string folder, Guid vault)
{
    string Location => Path.Combine(folder, "heads", $"{vault}.waiting");

    /// <returns>Null when nobody waits, as far as this machine knows.</returns>
    public string? Read()
    {
        try
        {
            return File.ReadAllText(Location);
        }
        catch (Exception nothing) when (nothing is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <exception cref="BackupException">The state directory cannot be written.</exception>
    public void Write(string what) => Try(() =>
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Location)!);
        using var file = File.CreateText(Location);
        file.Write(what);
    });

    /// <exception cref="BackupException">The state directory cannot be written.</exception>
    public void Remove() => Try(() =>
    {
        if (File.Exists(Location))
            File.Delete(Location);
    });

    void Try(Action action)
    {
        try
        {
            action();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BackupException($"what the archive waits for cannot be noted in {folder}: {failure.Message}",
                "Set 'state' (CRMBACKUP__STATE) to a folder that this user can write: 'status' reads it there.", inner: failure);
        }
    }
}
