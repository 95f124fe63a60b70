using System.Diagnostics;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public class HouseRules
{
    static readonly Dictionary<string, int> Layer = new()
    {
        ["CrmBackup.Cdc.Core"] = 0,
        ["CrmBackup.Cdc.Postgres"] = 1,
        ["CrmBackup.Cdc.ChangeLog"] = 1,
        ["CrmBackup.Cdc.Vault"] = 1,
        ["CrmBackup.Cdc.Engine"] = 2,
        ["CrmBackup.Cdc.Cli"] = 4,
    };

    [Fact]
    public void Projects_reference_only_lower_layers()
    {
        foreach (var (project, reference) in Repository.ProjectReferences())
            Assert.True(Layer[reference] < Layer[project], $"{project} must not reference {reference}");
    }

    [Fact]
    public void Core_has_no_packages_but_the_analyser_all_projects_have() =>
        Assert.DoesNotContain(Repository.PackageReferences(), reference => reference.Project == "CrmBackup.Cdc.Core");

    [Theory]
    [InlineData("Npgsql", "CrmBackup.Cdc.Postgres")]
    [InlineData("RabbitMQ.Client", "CrmBackup.Cdc.ChangeLog")]
    [InlineData("Parquet.Net", "CrmBackup.Cdc.Vault")]
    [InlineData("ParquetSharp", "CrmBackup.Cdc.Vault")]
    [InlineData("NSec.Cryptography", "CrmBackup.Cdc.Vault")]
    [InlineData("MassTransit", "CrmBackup.Cdc.Engine")]
    [InlineData("Spectre.Console", "CrmBackup.Cdc.Cli")]
    public void Each_outside_technology_has_one_room(string package, string room) =>
        Assert.All(Repository.PackageReferences().Where(reference => reference.Package == package),
            reference => Assert.Equal(room, reference.Project));

    [Fact]
    public void Source_files_hold_one_idea_in_at_most_400_lines()
    {
        foreach (var file in Repository.Sources("src"))
            Assert.True(File.ReadLines(file).Count() <= 400, $"{Path.GetRelativePath(Repository.Root, file)} has more than 400 lines");
    }

    [Fact]
    public void No_class_is_called_by_what_it_is_not()
    {
        var empty = new[] { "Manager", "Helper", "Util", "Utils", "Service", "Processor" };
        foreach (var file in Repository.Sources("src"))
            Assert.DoesNotContain(empty, word => Path.GetFileNameWithoutExtension(file).EndsWith(word, StringComparison.Ordinal));
    }

    [Fact]
    public void The_top_level_holds_only_what_the_design_names()
    {
        string[] allowed =
        [
            "src", "tests", "deploy", "schemas", ".ci", "CrmBackup.Cdc.sln", "README.md", "docker-compose.yml", ".gitignore", ".editorconfig",
            ".gitattributes", ".dockerignore", "global.json", "Directory.Build.props", "Directory.Packages.props", "BannedSymbols.txt",
        ];
        using var git = Process.Start(new ProcessStartInfo("git", ["ls-files"])
        {
            WorkingDirectory = Repository.Root,
            RedirectStandardOutput = true,
        })!;
        var top = git.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(path => path.Split('/')[0]).Distinct();
        git.WaitForExit();
        Assert.Empty(top.Except(allowed));
    }
}
