using System.Collections;
using System.Text.Json;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Cli;

/// <summary>crmbackup.json ← environment CRMBACKUP__… ← options. What nobody knows stops the program: a setting that is accepted
/// but not honoured is worse than an error.</summary>
static class SettingsReader
{
    public const string DefaultFile = "/etc/crmbackup/crmbackup.json";
    const string Prefix = "CRMBACKUP__";

    /// <param name="file">From <c>--config</c>; null = <see cref="DefaultFile"/> where it exists. Never the current folder's.</param>
    /// <param name="options">Path and value of each setting that was given as an option, and the option's name.</param>
    public static Settings Read(string? file, IDictionary environment, IEnumerable<(string Path, string Value, string Option)> options)
    {
        var values = new Dictionary<string, Given>(StringComparer.OrdinalIgnoreCase);
        if (file is not null || File.Exists(DefaultFile))
            foreach (var given in FromFile(file ?? DefaultFile))
                Take(values, given);
        foreach (var given in FromEnvironment(environment))
            Take(values, given);
        foreach (var (path, value, option) in options)
            Take(values, new Given(KnownSettings.Find(path, option), value, option));
        return Build(values.Values);
    }

    /// <summary>A value, and where it came from: for errors.</summary>
    sealed record Given(KnownSetting Setting, string Value, string Origin);

    /// <summary>A later value wins, and a file with a secret and the secret itself are one setting.</summary>
    static void Take(Dictionary<string, Given> values, Given given)
    {
        if (given.Setting.ReplacedBy is { } path)
        {
            given = new Given(KnownSettings.All[path], ReadSecret(given.Value, given.Origin), given.Origin);
        }
        values[given.Setting.Path] = given;
    }

    static string ReadSecret(string file, string origin)
    {
        try
        {
            return File.ReadAllText(file).Trim();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{origin}: cannot read {file}: {failure.Message}", "Check the path and the file's mode.");
        }
    }

    static IEnumerable<Given> FromFile(string file)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(
                File.ReadAllBytes(file), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"cannot read {file}: {failure.Message}", "Check --config and the file's mode.");
        }
        catch (JsonException failure)
        {
            throw new UsageException(
                $"{file} is not JSON: line {failure.LineNumber + 1}, byte {failure.BytePositionInLine + 1}", "schemas/config.schema.json describes it.");
        }
        using (document)
        {
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new UsageException($"{file} is not a JSON object", "schemas/config.schema.json describes it.");
            return [.. Flatten(document.RootElement, "", file)];
        }
    }

    static IEnumerable<Given> Flatten(JsonElement element, string path, string file)
    {
        foreach (var property in element.EnumerateObject())
        {
            if (path.Length == 0 && property.Name == "$schema")
                continue;
            var name = path.Length == 0 ? property.Name : $"{path}.{property.Name}";
            if (property.Value.ValueKind == JsonValueKind.Object)
                foreach (var inner in Flatten(property.Value, name, file))
                    yield return inner;
            else
                yield return new Given(KnownSettings.Find(name, file), ValueText(property.Value, name, file), file);
        }
    }

    static string ValueText(JsonElement value, string name, string file) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
        _ => throw new UsageException($"{file}: '{name}' is not a single value", "schemas/config.schema.json describes it."),
    };

    static IEnumerable<Given> FromEnvironment(IDictionary environment)
    {
        foreach (DictionaryEntry variable in environment)
            if (variable is { Key: string name, Value: string { Length: > 0 } value } && name.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase))
                yield return new Given(
                    KnownSettings.Find(name[Prefix.Length..].Replace("__", ".", StringComparison.Ordinal), $"environment {name}"),
                    value, $"environment {name}");
    }

    static Settings Build(IEnumerable<Given> values)
    {
        var settings = new Settings();
        foreach (var given in values)
        {
            object section = settings;
            foreach (var part in given.Setting.Section)
                section = part.GetValue(section)!;
            try
            {
                // Every section is new and not shared yet: init-only from here on.
                given.Setting.Property.SetValue(section, SettingText.Parse(given.Value, given.Setting.Property.PropertyType));
            }
            catch (FormatException failure)
            {
                throw new UsageException($"{given.Origin}: {given.Setting.Path}: {failure.Message}", "schemas/config.schema.json describes it.");
            }
        }
        var problems = string.Join("; ", settings.Problems());
        return problems.Length == 0 ? settings : throw new UsageException(problems, "schemas/config.schema.json describes every setting.");
    }
}
