namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary><c>Hostile/corpus/TARGET/</c>: real bytes, and every input that ever failed (<c>failed-…</c>).</summary>
static class FuzzCorpus
{
    public static string Folder(FuzzTarget target) =>
        Path.Combine(Repository.Root, "tests", "CrmBackup.Cdc.Tests", "Hostile", "corpus", target.Name);

    public static IReadOnlyList<(string Name, byte[] Bytes)> Of(FuzzTarget target) =>
        [.. Directory.GetFiles(Folder(target)).Order(StringComparer.Ordinal).Select(file => (Path.GetFileName(file), File.ReadAllBytes(file)))];

    /// <returns>Where it lies from now on.</returns>
    public static string Keep(FuzzTarget target, string name, byte[] bytes)
    {
        Directory.CreateDirectory(Folder(target));
        var file = Path.Combine(Folder(target), name);
        File.WriteAllBytes(file, bytes);
        return file;
    }
}
