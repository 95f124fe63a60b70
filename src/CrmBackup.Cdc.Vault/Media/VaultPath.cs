using System.Buffers;
using System.Globalization;
using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Names in the vault. Every path that comes out of a document passes <see cref="Check"/> before it touches a
/// medium.</summary>
public static class VaultPath
{
    public const int LengthMax = 200;
    const int SlugLengthMax = 60;

    static readonly SearchValues<char> Allowed = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789._-");

    public const string Identity = "vault.json";

    public static string Commit(long number) =>
        string.Create(CultureInfo.InvariantCulture, $"commits/{number / 10_000:D8}/{number:D12}.json");

    public static string Checkpoint(long number) =>
        string.Create(CultureInfo.InvariantCulture, $"checkpoints/{number:D12}.json.zst");

    public static string SchemaFile(Sha256 hash, string file) => $"schema/{hash.Hex}/{file}";

    public static string Views(long number) => string.Create(CultureInfo.InvariantCulture, $"sql/{number}.sql");

    public const string ParityFolder = "parity/";
    public const string ParityExtension = ".parity";
    public const string PackExtension = ".pack";

    /// <param name="stem">Unique in the vault's life.</param>
    public static string Pack(string stem) => ParityFolder + stem + PackExtension;

    /// <param name="place">Among the group's parity files, from 0.</param>
    public static string Parity(string stem, int place) => string.Create(CultureInfo.InvariantCulture, $"{ParityFolder}{stem}-{place:D2}{ParityExtension}");

    /// <param name="day">For people; never used to leave files out.</param>
    /// <param name="first">Commit LSN of the first event.</param>
    public static string Log(DateOnly day, int epoch, long counter, Lsn first) =>
        string.Create(
            CultureInfo.InvariantCulture, $"log/{day:yyyy-MM-dd}/{epoch:D8}-{counter:D12}-{first.Value:x16}.parquet");

    /// <param name="stem">Unique in the vault's life: epoch and counter, or epoch and a job's id.</param>
    public static string Table(RelationShape shape, SegmentKind kind, DateOnly day, string stem) =>
        string.Create(CultureInfo.InvariantCulture,
            $"tables/{shape.Number:D6}-{Slug(shape.FullName)}/{FolderOf(kind)}/{day:yyyy-MM-dd}/{stem}.parquet");

    /// <summary>A table's name for people: lower case, what is not [a-z0-9._-] as '_', at most 60 bytes.</summary>
    public static string Slug(string name)
    {
        var slug = new StringBuilder(SlugLengthMax);
        foreach (var rune in name.EnumerateRunes())
        {
            if (slug.Length == SlugLengthMax)
                break;
            var letter = rune.IsAscii ? char.ToLowerInvariant((char)rune.Value) : '_';
            slug.Append(Allowed.Contains(letter) ? letter : '_');
        }
        return slug.ToString();
    }

    public static bool IsValid(string? path)
    {
        if (string.IsNullOrEmpty(path) || path.Length > LengthMax)
            return false;
        foreach (var range in path.AsSpan().Split('/'))
            if (!IsElement(path.AsSpan(range)))
                return false;
        return true;
    }

    /// <summary>The path itself, when it is one that a vault can hold.</summary>
    public static string Check(string? path) =>
        IsValid(path)
            ? path!
            : throw new FormatViolationException($"'{Printable(path)}' is not a path that a vault can hold");

    static bool IsElement(ReadOnlySpan<char> element) =>
        !element.IsEmpty && element[0] != '.' && !element.ContainsAnyExcept(Allowed);

    static string FolderOf(SegmentKind kind) => kind switch
    {
        SegmentKind.Base => "base",
        SegmentKind.Changes => "changes",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "not a kind of table segment"),
    };

    /// <summary>A hostile name must not reach the terminal as it is.</summary>
    static string Printable(string? path)
    {
        if (path is null)
            return "(none)";
        var cut = path.Length > 80 ? path[..80] + "…" : path;
        return string.Concat(cut.Select(letter => char.IsControl(letter) ? '?' : letter));
    }
}
