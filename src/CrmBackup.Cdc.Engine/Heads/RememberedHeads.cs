using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The newest commit of a vault that this machine has seen, <c>heads/VAULT.json</c> in the state directory: only with it does a
/// history show that was cut off at its end, or replaced by an older copy of itself.</summary>
/// <param name="Number">0: the vault had no commit yet, and the hash is that of its <c>vault.json</c>.</param>
/// <param name="Written">A process of this machine made the vault or wrote to it: its origin is here.</param>
public sealed record RememberedHead(Guid Vault, long Number, Sha256 Hash, DateTimeOffset Seen, bool Written)
{
    [JsonIgnore]
    public FileReference Reference => new(Number, Hash);
}

/// <param name="folder">The state directory; made when something is remembered.</param>
public sealed class RememberedHeads(string folder, TimeProvider clock)
{
    /// <returns>Null when there is none, or none that can be read.</returns>
    public RememberedHead? Of(Guid vault)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(PathOf(vault)), HeadsJson.Default.RememberedHead);
        }
        catch (Exception nothing) when (nothing is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    /// <summary>The remembered head, when the vault's history does not hold it any more.</summary>
    public async Task<RememberedHead?> MissingAsync(BackupVault vault, CancellationToken stop) =>
        Of(vault.Identity.Id) is { } head && !await IsHeldAsync(vault.Medium, vault.IdentityHash, head.Reference, stop) ? head : null;

    /// <summary>Remembers the vault's newest commit, unless it does not follow from the one remembered: then that one stays, to be
    /// told of until someone accepts the loss.</summary>
    /// <param name="written">This process writes the vault.</param>
    /// <param name="accept">Whatever was remembered before.</param>
    /// <exception cref="BackupException">The state directory cannot be written.</exception>
    public async Task RememberAsync(BackupVault vault, bool written, CancellationToken stop, bool accept = false)
    {
        var (known, state) = (Of(vault.Identity.Id), vault.State);
        written |= known?.Written ?? false;
        if (known is not null && known.Number == state.Head && known.Written == written && !accept)
            return;
        if (!accept && await MissingAsync(vault, stop) is not null)
            return;
        Write(new RememberedHead(vault.Identity.Id, state.Head, state.HeadHash, clock.GetUtcNow(), written));
    }

    public static async Task<bool> IsHeldAsync(IMedium medium, Sha256 identity, FileReference head, CancellationToken stop) =>
        head.Number == 0 ? head.Hash == identity
            : await medium.ReadAsync(VaultPath.Commit(head.Number), stop) is { } file && Sha256.Of(file) == head.Hash;

    string PathOf(Guid vault) => Path.Combine(folder, "heads", $"{vault}.json");

    void Write(RememberedHead head)
    {
        var (path, fresh) = (PathOf(head.Vault), PathOf(head.Vault) + $".{Environment.ProcessId}");
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            using (var file = File.Create(fresh))
                JsonSerializer.Serialize(file, head, HeadsJson.Default.RememberedHead);
            if (File.Exists(path))
                File.Replace(fresh, path, null);
            else
                File.Move(fresh, path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BackupException(
                $"the newest commit cannot be remembered in {folder}: {failure.Message}",
                "Set 'state' (CRMBACKUP__STATE) to a folder that this user can write: it shows later whether history was cut off.", inner: failure);
        }
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectRequiredConstructorParameters = true, Converters = [typeof(Sha256Json)])]
[JsonSerializable(typeof(RememberedHead))]
sealed partial class HeadsJson : JsonSerializerContext;
