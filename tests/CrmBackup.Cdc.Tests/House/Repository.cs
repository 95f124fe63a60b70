using System.Runtime.CompilerServices;
using System.Xml.Linq;

namespace CrmBackup.Cdc.Tests;

/// <summary>The checkout these tests were built from.</summary>
static class Repository
{
    public static string Root { get; } = Find();

    public static IEnumerable<string> Sources(string folder) =>
        Directory.EnumerateFiles(Path.Combine(Root, folder), "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.Contains("/obj/", StringComparison.Ordinal) && !file.Contains("/bin/", StringComparison.Ordinal));

    public static IEnumerable<(string Project, string Reference)> ProjectReferences() =>
        from file in Directory.EnumerateFiles(Path.Combine(Root, "src"), "*.csproj", SearchOption.AllDirectories)
        from reference in XDocument.Load(file).Descendants("ProjectReference")
        select (Path.GetFileNameWithoutExtension(file), Path.GetFileNameWithoutExtension((string)reference.Attribute("Include")!));

    public static IEnumerable<(string Project, string Package)> PackageReferences() =>
        from file in Directory.EnumerateFiles(Path.Combine(Root, "src"), "*.csproj", SearchOption.AllDirectories)
        from reference in XDocument.Load(file).Descendants("PackageReference")
        select (Path.GetFileNameWithoutExtension(file), (string)reference.Attribute("Include")!);

    static string Find([CallerFilePath] string thisFile = "")
    {
        for (var folder = Path.GetDirectoryName(thisFile); folder is not null; folder = Path.GetDirectoryName(folder))
            if (File.Exists(Path.Combine(folder, "CrmBackup.Cdc.sln")))
                return folder;
        throw new InvalidOperationException("the tests do not stand in a checkout");
    }
}
