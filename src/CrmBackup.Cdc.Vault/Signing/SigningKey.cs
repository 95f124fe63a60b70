using System.Security.Cryptography;
using System.Text;
using CrmBackup.Cdc.Core;
using NSec.Cryptography;

namespace CrmBackup.Cdc.Vault;

/// <summary>The private Ed25519 key that commits are signed with. Never printed; its file is PKCS #8 in PEM, as openssl writes it.</summary>
public sealed class SigningKey : IDisposable
{
    readonly Key _key;

    SigningKey(Key key) => (_key, Public) = (key, PublicKeyOf(key.PublicKey));

    /// <summary>Its public half: 64 hex digits.</summary>
    public string Public { get; }

    public static SigningKey New() => new(Key.Create(
        SignatureAlgorithm.Ed25519, new KeyCreationParameters { ExportPolicy = KeyExportPolicies.AllowPlaintextExport }));

    /// <param name="origin">Where the text came from, for errors: the text itself is secret.</param>
    public static SigningKey Parse(ReadOnlySpan<byte> pem, string origin) =>
        Key.TryImport(SignatureAlgorithm.Ed25519, pem, KeyBlobFormat.PkixPrivateKeyText, out var key)
            ? new SigningKey(key!)
            : throw new UsageException($"{origin} holds no private Ed25519 key", "'crmbackup keys new FILE' makes a pair, and so does openssl genpkey -algorithm ed25519.");

    public byte[] ToPrivatePem() => _key.Export(KeyBlobFormat.PkixPrivateKeyText);

    public byte[] ToPublicPem() => _key.Export(KeyBlobFormat.PkixPublicKeyText);

    /// <summary>64 bytes.</summary>
    public byte[] Sign(ReadOnlySpan<byte> bytes) => SignatureAlgorithm.Ed25519.Sign(_key, bytes);

    public void Dispose() => _key.Dispose();

    internal static string PublicKeyOf(PublicKey key) => Convert.ToHexStringLower(key.Export(KeyBlobFormat.RawPublicKey));
}

/// <summary>The public keys whose signature makes a history trustworthy. Several while keys are changed.</summary>
public sealed class TrustedKeys(IEnumerable<string> keys)
{
    readonly HashSet<string> _keys = [.. keys];

    public IReadOnlyCollection<string> All => _keys;

    public bool Holds(string? key) => key is not null && _keys.Contains(key);

    /// <param name="pem">One or more public keys in PEM (SubjectPublicKeyInfo), one after the other.</param>
    public static TrustedKeys Parse(string pem, string origin)
    {
        var keys = new List<string>();
        var rest = pem.AsSpan();
        while (PemEncoding.TryFind(rest, out var fields))
        {
            if (!PublicKey.TryImport(
                SignatureAlgorithm.Ed25519, Encoding.UTF8.GetBytes(rest[fields.Location].ToString()), KeyBlobFormat.PkixPublicKeyText, out var key))
                throw new UsageException(
                    $"{origin} holds a {rest[fields.Label]} that is no public Ed25519 key", "Give the .pub file that 'crmbackup keys new' made.");
            keys.Add(SigningKey.PublicKeyOf(key!));
            rest = rest[fields.Location.End..];
        }
        return keys.Count > 0 ? new TrustedKeys(keys)
            : throw new UsageException($"{origin} holds no public key", "Give the .pub file that 'crmbackup keys new' made.");
    }

    /// <summary>True when the signature over the bytes is this key's.</summary>
    /// <param name="key">64 hex digits; anything else signs nothing.</param>
    internal static bool HasSigned(string key, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> signature) =>
        key.Length == 64 && key.All(char.IsAsciiHexDigitLower)
        && PublicKey.TryImport(SignatureAlgorithm.Ed25519, Convert.FromHexString(key), KeyBlobFormat.RawPublicKey, out var imported)
        && SignatureAlgorithm.Ed25519.Verify(imported!, bytes, signature);
}
