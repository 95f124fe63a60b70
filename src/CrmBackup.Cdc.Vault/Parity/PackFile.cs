using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using CrmBackup.Cdc.Core;
using ZstdSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>Copies of small files in one, each with its hash:
/// <code>
///  | magic "CBPACKED" | length of the body u64 | body: Zstandard of, per file, path length u16, path, length u32, SHA-256, bytes |
/// </code>
/// Little-endian.</summary>
public static class PackFile
{
    const int HeaderLength = 16;
    const int HashLength = 32;
    /// <summary>So much of content in one pack, before it is compressed; a file larger than that is a pack of its own.</summary>
    public const long ContentBytes = 16 << 20;

    static ReadOnlySpan<byte> Magic => "CBPACKED"u8;

    public static byte[] Encode(IEnumerable<(string Path, byte[] Bytes)> files)
    {
        var content = new MemoryStream();
        Span<byte> number = stackalloc byte[4];
        foreach (var (path, bytes) in files)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(number, checked((ushort)path.Length));
            content.Write(number[..2]);
            content.Write(Encoding.ASCII.GetBytes(path));
            BinaryPrimitives.WriteInt32LittleEndian(number, bytes.Length);
            content.Write(number);
            content.Write(SHA256.HashData(bytes));
            content.Write(bytes);
        }
        using var compressor = new Compressor(level: 3);
        var body = compressor.Wrap(content.GetBuffer().AsSpan(0, (int)content.Length));
        var pack = new byte[HeaderLength + body.Length];
        Magic.CopyTo(pack);
        BinaryPrimitives.WriteInt64LittleEndian(pack.AsSpan(8), body.Length);
        body.CopyTo(pack.AsSpan(HeaderLength));
        return pack;
    }

    /// <summary>The files that have the hash that stands beside them.</summary>
    /// <returns>Null when it is damaged, or no pack.</returns>
    public static IReadOnlyDictionary<string, byte[]>? TryDecode(ReadOnlySpan<byte> pack)
    {
        if (pack.Length <= HeaderLength || !pack.StartsWith(Magic) || BinaryPrimitives.ReadInt64LittleEndian(pack[8..]) != pack.Length - HeaderLength)
            return null;
        try
        {
            using var decompressor = new Decompressor();
            var files = new Dictionary<string, byte[]>();
            for (var rest = (ReadOnlySpan<byte>)decompressor.Unwrap(pack[HeaderLength..], CheckpointStore.UnpackedMax(pack.Length)); !rest.IsEmpty;)
            {
                var name = BinaryPrimitives.ReadUInt16LittleEndian(rest);
                var path = Encoding.ASCII.GetString(rest.Slice(2, name));
                rest = rest[(2 + name)..];
                var length = BinaryPrimitives.ReadInt32LittleEndian(rest);
                var hash = rest.Slice(4, HashLength);
                var bytes = rest.Slice(4 + HashLength, length).ToArray();
                if (!VaultPath.IsValid(path) || !SHA256.HashData(bytes).AsSpan().SequenceEqual(hash))
                    return null;
                files[path] = bytes;
                rest = rest[(4 + HashLength + length)..];
            }
            return files;
        }
        catch (Exception damaged) when (damaged is ZstdException or ArgumentException)
        {
            return null;
        }
    }
}
