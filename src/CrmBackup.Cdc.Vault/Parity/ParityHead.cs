using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>What a parity file says before its shard: enough to mend the group without any commit.
/// <code>
///  | magic "CBPARITY" | place among the parity files u32 | length of the JSON u32 | JSON: <see cref="ParityDescription"/> |
///  | checks: per member, then per parity file, per block: the first 8 bytes of the block's SHA-256 |
///  | SHA-256 of everything before, 32 bytes | the shard |
/// </code>
/// Little-endian. A member's blocks are checked with the zeros behind its end.</summary>
/// <param name="Place">From 0.</param>
/// <param name="Checks">In this order: <see cref="CheckAt"/>.</param>
public sealed record ParityHead(ParityDescription Group, int Place, byte[] Checks)
{
    const int FixedLength = 16;
    const int HashLength = 32;
    public const int CheckLength = 8;
    /// <summary>The paths and hashes of 256 files, and more.</summary>
    const int JsonBytesMax = 1 << 20;
    const long ChecksBytesMax = 1L << 30;

    public static ReadOnlySpan<byte> Magic => "CBPARITY"u8;

    public ReadOnlySpan<byte> CheckAt(int shard, long block) => Checks.AsSpan(checked((int)(shard * Group.Blocks + block)) * CheckLength, CheckLength);

    public static void WriteCheck(ReadOnlySpan<byte> block, Span<byte> check)
    {
        Span<byte> hash = stackalloc byte[HashLength];
        SHA256.HashData(block, hash);
        hash[..CheckLength].CopyTo(check);
    }

    public byte[] ToBytes()
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(Group, ParityJson.Default.ParityDescription);
        var bytes = new byte[FixedLength + json.Length + Checks.Length + HashLength];
        Magic.CopyTo(bytes);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(8), Place);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(12), json.Length);
        json.CopyTo(bytes.AsSpan(FixedLength));
        Checks.CopyTo(bytes.AsSpan(FixedLength + json.Length));
        SHA256.HashData(bytes.AsSpan(..^HashLength), bytes.AsSpan(^HashLength..));
        return bytes;
    }

    /// <summary>Reads up to the shard.</summary>
    /// <returns>Null when it is damaged, or no parity file.</returns>
    public static ParityHead? TryRead(Stream file)
    {
        var start = new byte[FixedLength];
        if (file.ReadAtLeast(start, FixedLength, throwOnEndOfStream: false) < FixedLength || !start.AsSpan().StartsWith(Magic))
            return null;
        var place = BinaryPrimitives.ReadInt32LittleEndian(start.AsSpan(8));
        var length = BinaryPrimitives.ReadInt32LittleEndian(start.AsSpan(12));
        if (length is < 2 or > JsonBytesMax)
            return null;
        var json = new byte[length];
        if (file.ReadAtLeast(json, length, throwOnEndOfStream: false) < length || Describe(json) is not { } group || place < 0 || place >= group.Parity)
            return null;
        // Not more than the file is long: a damaged count asks for no memory.
        if (group.ChecksLength > Math.Min(ChecksBytesMax, file.Length))
            return null;
        var rest = new byte[group.ChecksLength + HashLength];
        if (file.ReadAtLeast(rest, rest.Length, throwOnEndOfStream: false) < rest.Length)
            return null;
        var head = new ParityHead(group, place, rest[..^HashLength]);
        return SHA256.HashData([.. start, .. json, .. head.Checks]).AsSpan().SequenceEqual(rest.AsSpan(^HashLength..)) ? head : null;
    }

    static ParityDescription? Describe(byte[] json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, ParityJson.Default.ParityDescription) is { } group && group.IsWhole ? group : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>A group as its parity files describe it.</summary>
/// <param name="Parity">How many parity files there are.</param>
public sealed record ParityDescription(int Format, Guid Vault, string Id, int BlockBytes, int Parity, IReadOnlyList<ParityFile> Members)
{
    public const int CurrentFormat = 1;
    /// <summary>64 KiB: the checks take an eight-thousandth, and a codeword of 18 blocks little memory.</summary>
    const int UsualBlockBytes = 64 << 10;
    const int BlockBytesMax = 1 << 24;

    /// <summary>The longest member's; zeros stand behind the others.</summary>
    [JsonIgnore]
    public long Blocks => (Members.Max(member => member.Bytes) + BlockBytes - 1) / BlockBytes;

    /// <summary>Small files have small blocks, so that little is padded.</summary>
    public static ParityDescription Of(Guid vault, string id, int parity, IReadOnlyList<ParityFile> members) =>
        new(CurrentFormat, vault, id, (int)Math.Clamp(members.Max(member => member.Bytes), 1, UsualBlockBytes), parity, members);

    [JsonIgnore]
    public long ChecksLength => (Members.Count + Parity) * Blocks * ParityHead.CheckLength;

    internal bool IsWhole =>
        Format == CurrentFormat && BlockBytes is > 0 and <= BlockBytesMax && Parity >= 1 && Members is { Count: >= 1 } && Members.Count + Parity <= ParityGroup.FilesMax
        && !string.IsNullOrEmpty(Id) && Members.All(member => member is { Bytes: >= 0 and < 1L << 50, FileHash.Hex: not null } && VaultPath.IsValid(member.Path));
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true,
    Converters = [typeof(Sha256Json)])]
[JsonSerializable(typeof(ParityDescription))]
sealed partial class ParityJson : JsonSerializerContext;
