using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary><c>sql/N.sql</c>: the analysts' views over the live set of commit N. Derived, so no commit names it; its
/// first line is
/// a comment with the SHA-256 of the rest, by which damage is noticed.</summary>
public static class ViewsFile
{
    public const string Folder = "sql/";
    const string Prefix = "-- sha256 ";

    /// <returns>False when the file exists already with another text (of another version of this program,
    /// say).</returns>
    public static Task<bool> WriteAsync(IMedium medium, long commit, string text, CancellationToken stop)
    {
        var body = Encoding.UTF8.GetBytes(text);
        byte[] file = [.. Encoding.ASCII.GetBytes($"{Prefix}{Sha256.Of(body)}\n"), .. body];
        return medium.TryCreateAsync(VaultPath.Views(commit), file, stop);
    }

    /// <summary>True when the text is the one that was written.</summary>
    public static bool IsSound(ReadOnlySpan<byte> file)
    {
        var end = file.IndexOf((byte)'\n');
        return end > 0 && file[..end].SequenceEqual(Encoding.ASCII.GetBytes($"{Prefix}{Sha256.Of(file[(end + 1)..])}"));
    }
}
