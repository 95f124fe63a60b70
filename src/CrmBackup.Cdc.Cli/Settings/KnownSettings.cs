using System.Reflection;
using System.Text.Json;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Cli;

/// <summary>One leaf of <see cref="Settings"/>: its path, and how text becomes its value.</summary>
sealed record KnownSetting(string Path, PropertyInfo Property, IReadOnlyList<PropertyInfo> Section)
{
    public bool IsSecret => Property.GetCustomAttribute<SecretAttribute>() is not null;

    /// <summary>The path of the setting that this one's file holds; null when it is no such file.</summary>
    public string? ReplacedBy => Property.GetCustomAttribute<ReplacedByAttribute>() is { } file
        ? string.Join('.', [.. Section.Select(part => KnownSettings.Name(part)), JsonNamingPolicy.CamelCase.ConvertName(file.Setting)]) : null;
}

/// <summary>The tree of <see cref="Settings"/> as paths: <c>source.connection</c>, <c>archive.flushAge</c> …</summary>
static class KnownSettings
{
    public static readonly IReadOnlyDictionary<string, KnownSetting> All =
        Leaves(typeof(Settings), []).ToDictionary(setting => setting.Path, StringComparer.OrdinalIgnoreCase);

    /// <summary>A section's name, and the setting it alone stands for.</summary>
    public static readonly IReadOnlyDictionary<string, string> Shorts = All.Values
        .Where(setting => setting.Property.GetCustomAttribute<ShortAttribute>() is not null)
        .ToDictionary(setting => setting.Path[..setting.Path.LastIndexOf('.')], setting => setting.Path, StringComparer.OrdinalIgnoreCase);

    public static string Name(PropertyInfo property) => JsonNamingPolicy.CamelCase.ConvertName(property.Name);

    /// <exception cref="UsageException">Nobody knows such a setting; the nearest known one is named.</exception>
    public static KnownSetting Find(string path, string origin)
    {
        if (Shorts.TryGetValue(path, out var whole))
            path = whole;
        return All.TryGetValue(path, out var known) ? known : throw new UsageException(
            $"{origin}: unknown setting '{path}'",
            $"Did you mean '{Nearest.To(path, All.Keys.Concat(Shorts.Keys))}'? Every setting is in schemas/config.schema.json.");
    }

    static IEnumerable<KnownSetting> Leaves(Type type, IReadOnlyList<PropertyInfo> section)
    {
        foreach (var property in type.GetProperties(BindingFlags.Public | BindingFlags.Instance))
        {
            if (property.SetMethod is null)
                continue;
            if (SettingText.CanParse(property.PropertyType))
                yield return new KnownSetting(string.Join('.', [.. section.Select(Name), Name(property)]), property, section);
            // Only records of ours are sections.
            else if (property.PropertyType.Namespace!.StartsWith("CrmBackup", StringComparison.Ordinal))
                foreach (var leaf in Leaves(property.PropertyType, [.. section, property]))
                    yield return leaf;
        }
    }
}
