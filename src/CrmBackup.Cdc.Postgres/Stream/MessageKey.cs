using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Tells our logical messages from those that anybody may write: HMAC-SHA256 over transaction, ordinal and payload.
/// <code>
///  content = mac, 64 hex digits | ' ' | ordinal | ' ' | payload        mac over: xid | ' ' | ordinal | ' ' | payload
/// </code></summary>
public sealed class MessageKey
{
    public const string Prefix = "crmbackup";
    const int PadLength = 64;
    const int MacLength = 64;
    readonly byte[] _inner;
    readonly byte[] _outer;

    /// <param name="innerPad">The key XOR 0x36, as <c>crmbackup.secret</c> holds it.</param>
    /// <param name="outerPad">The key XOR 0x5c.</param>
    public MessageKey(byte[] innerPad, byte[] outerPad)
    {
        if (innerPad.Length != PadLength || outerPad.Length != PadLength)
            throw new ArgumentException("a pad has 64 bytes");
        (_inner, _outer) = (innerPad, outerPad);
    }

    /// <param name="xid">The 64-bit id of the top-level transaction that the message came in.</param>
    public bool Wrote(ulong xid, ReadOnlySpan<byte> content)
    {
        Span<byte> claimed = stackalloc byte[SHA256.HashSizeInBytes];
        if (content.Length <= MacLength || content[MacLength] != ' '
            || Convert.FromHexString(content[..MacLength], claimed, out _, out _) != System.Buffers.OperationStatus.Done)
            return false;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(_inner);
        hash.AppendData(Encoding.ASCII.GetBytes(xid.ToString(CultureInfo.InvariantCulture)));
        hash.AppendData(content[MacLength..]);
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(digest);
        hash.AppendData(_outer);
        hash.AppendData(digest);
        hash.GetHashAndReset(digest);
        return CryptographicOperations.FixedTimeEquals(digest, claimed);
    }
}
