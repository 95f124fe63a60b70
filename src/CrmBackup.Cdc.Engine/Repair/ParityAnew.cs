using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Writes a parity file anew where its whole group has none left: its members are all there is to make it from.</summary>
static class ParityAnew
{
    /// <returns>Null, or why it cannot be.</returns>
    public static async Task<string?> WriteAsync(IMedium medium, string path, Stream output, CancellationToken stop)
    {
        var temporaries = new List<string>();
        try
        {
            var vault = await BackupVault.OpenAsync(medium, stop);
            if (vault.State.ParityGroups.Values.FirstOrDefault(group => group.Files.Any(file => file.Path == path)) is not { } group)
                return "no parity covers it";
            temporaries.AddRange(group.Files.Select(_ => medium.NewTemporaryPath("parity")));
            await ParityWriter.WriteAsync(ParityDescription.Of(vault.Identity.Id, group.Id, group.Files.Count, group.Members), medium, temporaries, stop);
            output.SetLength(0);
            await using var written = File.OpenRead(temporaries[group.Files.Index().First(file => file.Item.Path == path).Index]);
            await written.CopyToAsync(output, stop);
            return null;
        }
        catch (BackupException failure)
        {
            return failure.Message;
        }
        finally
        {
            foreach (var temporary in temporaries.Where(File.Exists))
                medium.DeleteTemporary(temporary);
        }
    }
}
