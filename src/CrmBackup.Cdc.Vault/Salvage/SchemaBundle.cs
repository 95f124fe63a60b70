using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using CrmBackup.Cdc.Core;
using ZstdSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>A whole schema in one file that is found on a raw medium by its first bytes, and proves itself:
/// <code>
/// | magic "CBSCHEM1" | length of the body u64 | SHA-256 of the body, 32 bytes | body: Zstandard of, per file, manifest first,
///                                                                              name length u16, name, length u32, bytes |
/// </code>
/// Little-endian. A second copy of what stands beside it: no manifest names it.</summary>
public static class SchemaBundle
{
    public const string FileName = "bundle";
    public const int HeaderLength = 48;

    /// <summary>40,000 tables dump to about 100 MB of text, and to a tenth of it compressed.</summary>
    public const int BodyBytesMax = 64 << 20;

    public static ReadOnlySpan<byte> Magic => "CBSCHEM1"u8;

    public static byte[] Encode(byte[] manifest, IEnumerable<(string Name, byte[] Bytes)> files)
    {
        var body = new MemoryStream();
        var number = new byte[4];
        foreach (var (name, bytes) in files.Prepend((SchemaManifest.FileName, manifest)))
        {
            BinaryPrimitives.WriteUInt16LittleEndian(number, checked((ushort)name.Length));
            body.Write(number, 0, 2);
            body.Write(Encoding.ASCII.GetBytes(name));
            BinaryPrimitives.WriteInt32LittleEndian(number, bytes.Length);
            body.Write(number);
            body.Write(bytes);
        }
        using var compressor = new Compressor(level: 3);
        var packed = compressor.Wrap(body.GetBuffer().AsSpan(0, (int)body.Length));
        var bundle = new byte[HeaderLength + packed.Length];
        Magic.CopyTo(bundle);
        BinaryPrimitives.WriteInt64LittleEndian(bundle.AsSpan(8), packed.Length);
        Sha256.Of(packed).ToBytes().CopyTo(bundle.AsSpan(16));
        packed.CopyTo(bundle.AsSpan(HeaderLength));
        return bundle;
    }

    /// <returns>The length of the whole bundle that begins here; null when none does.</returns>
    public static long? LengthOf(ReadOnlySpan<byte> header) =>
        header.Length >= HeaderLength && header.StartsWith(Magic)
        && BinaryPrimitives.ReadInt64LittleEndian(header[8..]) is > 0 and <= BodyBytesMax and var body ? HeaderLength + body : null;

    /// <summary>False when it is damaged, or no bundle.</summary>
    /// <param name="bundle">Exactly its bytes.</param>
    /// <param name="schema">With the hash of its manifest, which names the others with theirs.</param>
    public static bool TryDecode(ReadOnlySpan<byte> bundle, [NotNullWhen(true)] out SalvagedSchema? schema)
    {
        schema = null;
        if (LengthOf(bundle) != bundle.Length || !Sha256.Of(bundle[HeaderLength..]).ToBytes().AsSpan().SequenceEqual(bundle[16..HeaderLength]))
            return false;
        try
        {
            using var decompressor = new Decompressor();
            var files = new Dictionary<string, byte[]>();
            for (var rest = (ReadOnlySpan<byte>)decompressor.Unwrap(bundle[HeaderLength..], CheckpointStore.UnpackedMax(bundle.Length)); !rest.IsEmpty;)
            {
                var name = BinaryPrimitives.ReadUInt16LittleEndian(rest);
                var length = BinaryPrimitives.ReadInt32LittleEndian(rest[(2 + name)..]);
                if (!files.TryAdd(Encoding.ASCII.GetString(rest.Slice(2, name)), rest.Slice(6 + name, length).ToArray()))
                    return false;
                rest = rest[(6 + name + length)..];
            }
            if (!files.Remove(SchemaManifest.FileName, out var manifest))
                return false;
            var named = SchemaStore.ParseManifest(manifest, SchemaManifest.FileName).Files;
            if (named.Count != files.Count || !named.All(file => files.TryGetValue(file.Name, out var bytes) && Sha256.Of(bytes) == file.Sha256))
                return false;
            schema = new SalvagedSchema(manifest, files);
            return true;
        }
        catch (Exception damaged) when (damaged is ZstdException or ArgumentException or FormatViolationException)
        {
            return false;
        }
    }
}

/// <summary>A schema that proved itself.</summary>
/// <param name="Files">By name, without the manifest.</param>
public sealed record SalvagedSchema(byte[] Manifest, IReadOnlyDictionary<string, byte[]> Files)
{
    /// <summary>By which commits name it.</summary>
    public Sha256 Hash { get; } = Sha256.Of(Manifest);

    public byte[] ToBundle() => SchemaBundle.Encode(Manifest, Files.Select(file => (file.Key, file.Value)));
}
