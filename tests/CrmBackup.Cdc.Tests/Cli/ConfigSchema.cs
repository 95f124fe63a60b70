using System.Collections;
using System.Text.Json;
using CrmBackup.Cdc.Cli;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary><c>schemas/config.schema.json</c> and the records that the program reads are the same.</summary>
public class ConfigSchema
{
    static readonly JsonElement Root =
        JsonDocument.Parse(File.ReadAllBytes(Path.Combine(JsonSchemaFile.Folder, "config.schema.json"))).RootElement;

    [Fact]
    public void Every_setting_is_in_the_schema_and_nothing_else() =>
        Assert.Equal(KnownSettings.All.Keys.Order(), Leaves(Root, "").Select(leaf => leaf.Path).Order());

    [Fact]
    public void Defaults_in_the_schema_are_those_of_the_program()
    {
        var defaults = new Settings();
        foreach (var (path, schema) in Leaves(Root, ""))
        {
            var setting = KnownSettings.All[path];
            var section = setting.Section.Aggregate((object)defaults, (at, part) => part.GetValue(at)!);
            var actual = setting.Property.GetValue(section);
            if (schema.TryGetProperty("default", out var said) && actual is not null)
                Assert.Equal(actual, SettingText.Parse(said.ToString(), setting.Property.PropertyType));
            else if (actual is not null)
                Assert.Fail($"{path} has the default {actual}, the schema none");
        }
    }

    [Fact]
    public void The_brokers_defaults_are_those_of_the_change_log()
    {
        var options = new BrokerSettings { Uri = "amqp://localhost/" }.For(Guid.Empty);
        foreach (var (path, schema) in Leaves(Root, "").Where(leaf => leaf.Path.StartsWith("broker.", StringComparison.Ordinal)))
            if (schema.TryGetProperty("default", out var said))
            {
                var property = typeof(ChangeLog.RabbitOptions).GetProperty(KnownSettings.All[path].Property.Name)!;
                Assert.Equal(property.GetValue(options), SettingText.Parse(said.ToString(), property.PropertyType));
            }
    }

    [Fact]
    public void Every_setting_can_be_set_by_the_environment()
    {
        foreach (var setting in KnownSettings.All.Values.Where(setting => setting.ReplacedBy is null))
        {
            var value = setting.Property.PropertyType == typeof(TimeSpan) ? "7s"
                : setting.Property.PropertyType == typeof(string) ? "x" : "16MiB";
            var environment = new Hashtable { ["CRMBACKUP__" + setting.Path.Replace(".", "__", StringComparison.Ordinal).ToUpperInvariant()] = value };
            try
            {
                var settings = SettingsReader.Read(null, environment, []);
                Assert.Equal(SettingText.Parse(value, setting.Property.PropertyType),
                    setting.Property.GetValue(setting.Section.Aggregate((object)settings, (at, part) => part.GetValue(at)!)));
            }
            catch (Core.UsageException outOfBounds)
            {
                Assert.Contains(setting.Property.Name, outOfBounds.Message, StringComparison.OrdinalIgnoreCase);
            }
        }
    }

    [Fact]
    public void The_example_in_deploy_follows_the_schema() =>
        Assert.Empty(JsonSchemaFile.Load("config.schema.json").Problems(
            File.ReadAllBytes(Path.Combine(JsonSchemaFile.Folder, "..", "deploy", "crmbackup.json"))));

    static IEnumerable<(string Path, JsonElement Schema)> Leaves(JsonElement schema, string path)
    {
        if (schema.TryGetProperty("oneOf", out var shapes))
            schema = shapes.EnumerateArray().Single(shape => shape.GetProperty("type").GetString() == "object");
        foreach (var property in schema.GetProperty("properties").EnumerateObject().Where(property => property.Name != "$schema"))
        {
            var at = path.Length == 0 ? property.Name : $"{path}.{property.Name}";
            Assert.True(property.Value.TryGetProperty("description", out _), $"{at} is not described");
            var isSection = property.Value.TryGetProperty("properties", out _) || property.Value.TryGetProperty("oneOf", out _);
            foreach (var leaf in isSection ? Leaves(property.Value, at) : [(at, property.Value)])
                yield return leaf;
        }
    }
}
