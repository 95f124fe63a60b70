using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;
using ZstdSharp;
using ZstdSharp.Unsafe;

namespace CrmBackup.Cdc.Vault;

/// <summary>What a checkpoint file holds, compressed with Zstandard.</summary>
/// <param name="Identity">Hash of the vault's <c>vault.json</c>.</param>
public sealed record Checkpoint(VaultFormat Format, Sha256 Identity, VaultState State);

/// <summary>A checkpoint that a later commit vouches for.</summary>
/// <param name="Bytes">Length of the file.</param>
public sealed record TrustedCheckpoint(VaultState State, FileReference Reference, int Bytes);

/// <summary>Folded live sets, written now and then so that opening a vault need not read every commit. Only a short
/// cut: the commits
/// alone say the same, and a checkpoint is believed only when the commit behind it names its hash.</summary>
public static class CheckpointStore
{
    const string Folder = "checkpoints/";
    const string Extension = ".json.zst";

    /// <returns>What the next commit must name; null when a file stands there already that is not ours.</returns>
    public static async Task<TrustedCheckpoint?> WriteAsync(
        IMedium medium, VaultState state, Sha256 identity, CancellationToken stop)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(
            new Checkpoint(VaultFormat.Current, identity, state), CheckpointJson.Default.Checkpoint);
        using var compressor = new Compressor(level: 3);
        compressor.SetParameter(ZSTD_cParameter.ZSTD_c_checksumFlag, 1);
        var bytes = compressor.Wrap(json).ToArray();
        return await medium.TryCreateAsync(VaultPath.Checkpoint(state.Head), bytes, stop)
            ? new TrustedCheckpoint(state, new FileReference(state.Head, Sha256.Of(bytes)), bytes.Length)
            : null;
    }

    /// <summary>The newest checkpoint that the commit behind it names; null when there is none to trust.</summary>
    public static async Task<TrustedCheckpoint?> NewestTrustedAsync(
        IMedium medium, Sha256 identity, CancellationToken stop, long upTo = long.MaxValue)
    {
        // The commit behind it is read too.
        foreach (var number in (await NumbersAsync(medium, stop)).Where(number => number < upTo).OrderDescending())
            if (await TryTrustAsync(medium, number, identity, stop) is { } trusted)
                return trusted;
        return null;
    }

    /// <exception cref="FormatViolationException">These bytes are not a checkpoint.</exception>
    public static Checkpoint Parse(long number, byte[] file)
    {
        try
        {
            using var decompressor = new Decompressor();
            var checkpoint = JsonSerializer.Deserialize(decompressor.Unwrap(file, UnpackedMax(file.Length)), CheckpointJson.Default.Checkpoint);
            if (checkpoint?.State is null || checkpoint.Format is null || checkpoint.State.Head != number)
                throw new FormatViolationException($"checkpoint {number} holds something else");
            return checkpoint;
        }
        catch (Exception failure) when (failure is ZstdException or JsonException)
        {
            throw new FormatViolationException($"checkpoint {number} cannot be read: {failure.Message}", failure);
        }
    }

    /// <summary>JSON packs to a fifth or a tenth; what claims to be much more is made to fill our memory.</summary>
    internal static int UnpackedMax(int packed) => (int)Math.Min(1L << 30, Math.Max(16L << 20, packed * 200L));

    static async Task<List<long>> NumbersAsync(IMedium medium, CancellationToken stop)
    {
        var numbers = new List<long>();
        await foreach (var file in medium.ListAsync(Folder, null, stop))
        {
            var name = file.Path.AsSpan(Folder.Length);
            if (name.EndsWith(Extension, StringComparison.Ordinal)
                && long.TryParse(name[..^Extension.Length], CultureInfo.InvariantCulture, out var number)
                && file.Path == VaultPath.Checkpoint(number))
                numbers.Add(number);
        }
        return numbers;
    }

    static async Task<TrustedCheckpoint?> TryTrustAsync(
        IMedium medium, long number, Sha256 identity, CancellationToken stop)
    {
        // A checkpoint whose commit is missing, damaged or silent is passed over, not complained of: reading from an
        // older
        // one comes past the same commits and complains then; 'verify' looks at every checkpoint.
        if (await medium.ReadAsync(VaultPath.Commit(number + 1), stop) is not { } next
            || !CommitCodec.TryParse(number + 1, next, out var commit)
            || commit.Head.Checkpoint is not { } named
            || named.Number != number
            || await medium.ReadAsync(VaultPath.Checkpoint(number), stop) is not { } file
            || Sha256.Of(file) != named.Hash)
            return null;
        var checkpoint = Parse(number, file);
        // A newer format's state may hold what this program does not know. An older one's lacks nothing: who writes it never writes behind
        // commits of a newer format.
        if (checkpoint.Format.Major != VaultFormat.Current.Major || checkpoint.Format.Minor > VaultFormat.Current.Minor)
            return null;
        if (checkpoint.Identity != identity)
            throw new FormatViolationException($"vault.json is not the one that checkpoint {number} was made with");
        VaultFold.RefuseUnknown(checkpoint.State.Requires);
        return new TrustedCheckpoint(checkpoint.State, named, file.Length);
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(LsnJson), typeof(Sha256Json), typeof(SourceTimeJson)])]
[JsonSerializable(typeof(Checkpoint))]
sealed partial class CheckpointJson : JsonSerializerContext;
