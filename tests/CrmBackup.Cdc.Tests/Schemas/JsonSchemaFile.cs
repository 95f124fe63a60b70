using System.Text.Json;
using System.Text.RegularExpressions;

namespace CrmBackup.Cdc.Tests;

/// <summary>Holds documents against the schemas in <c>schemas/</c>. Knows the few keywords that they use and refuses
/// every other.
/// Stricter than JSON Schema in one way: a field that the schema does not describe is an error, because
/// undocumented.</summary>
sealed class JsonSchemaFile
{
    static readonly Dictionary<string, JsonSchemaFile> Loaded = [];

    readonly JsonElement _root;

    JsonSchemaFile(JsonElement root) => _root = root;

    public static string Folder { get; } = FindFolder();

    /// <param name="name">For example <c>commit.schema.json</c>.</param>
    public static JsonSchemaFile Load(string name)
    {
        lock (Loaded)
        {
            if (!Loaded.TryGetValue(name, out var schema))
                Loaded[name] = schema = new JsonSchemaFile(
                    JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Folder, name))).RootElement);
            return schema;
        }
    }

    /// <summary>What is wrong with the document, place by place; empty when nothing is.</summary>
    public IReadOnlyList<string> Problems(JsonElement document) => [.. Check(_root, document, "$")];

    /// <param name="definition">One of the schema's <c>$defs</c>.</param>
    public IReadOnlyList<string> Problems(string definition, string json) =>
        [.. Check(_root.GetProperty("$defs").GetProperty(definition), JsonDocument.Parse(json).RootElement, "$")];

    public IReadOnlyList<string> Problems(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        return Problems(JsonElement.ParseValue(ref reader));
    }

    IEnumerable<string> Check(JsonElement schema, JsonElement value, string at)
    {
        // Of another type than it should be: the other keywords would ask in vain.
        if (schema.TryGetProperty("type", out var type) && !HasType(type.GetString()!, value))
        {
            yield return $"{at} is not of type {type}: {value}";
            yield break;
        }
        foreach (var keyword in schema.EnumerateObject())
            foreach (var problem in CheckKeyword(schema, keyword, value, at))
                yield return problem;
    }

    IEnumerable<string> CheckKeyword(JsonElement schema, JsonProperty keyword, JsonElement value, string at)
    {
        var rule = keyword.Value;
        switch (keyword.Name)
        {
            case "$schema" or "type" or "title" or "description" or "$defs" or "default" or "examples":
                return [];
            case "$ref":
                var (file, target) = Resolve(rule.GetString()!);
                return file.Check(target, value, at);
            case "const":
                return JsonElement.DeepEquals(rule, value) ? [] : [$"{at} is not {rule}"];
            case "enum":
                return rule.EnumerateArray().Any(allowed => JsonElement.DeepEquals(allowed, value)) ? [] : [$"{at} is none of {rule}: {value}"];
            case "pattern":
                return Regex.IsMatch(value.GetString()!, rule.GetString()!) ? [] : [$"{at} does not match {rule}: {value}"];
            case "maxLength":
                return value.GetString()!.Length <= rule.GetInt32() ? [] : [$"{at} is too long"];
            case "minimum":
                return value.GetDecimal() >= rule.GetDecimal() ? [] : [$"{at} is below {rule}"];
            case "maximum":
                return value.GetDecimal() <= rule.GetDecimal() ? [] : [$"{at} is above {rule}"];
            case "required":
                return rule.EnumerateArray().Where(name => !value.TryGetProperty(name.GetString()!, out _)).Select(name => $"{at} lacks {name}");
            case "properties" or "additionalProperties":
                return keyword.Name == "properties" || !schema.TryGetProperty("properties", out _) ? CheckFields(schema, value, at) : [];
            case "items":
                return value.EnumerateArray().SelectMany((item, index) => Check(rule, item, $"{at}[{index}]"));
            case "oneOf":
                var alternatives = rule.EnumerateArray().Select(alternative => Check(alternative, value, at).ToList()).ToList();
                return alternatives.Count(problems => problems.Count == 0) == 1
                    ? [] : alternatives.MinBy(problems => problems.Count)!.Prepend($"{at} is not exactly one of the alternatives");
            default:
                throw new NotSupportedException($"the schema keyword '{keyword.Name}' is not known to this check");
        }
    }

    IEnumerable<string> CheckFields(JsonElement schema, JsonElement value, string at)
    {
        var described = schema.TryGetProperty("properties", out var properties) ? properties : default;
        var others = schema.TryGetProperty("additionalProperties", out var additional) ? additional : default;
        foreach (var field in value.EnumerateObject())
        {
            var rule = described.ValueKind == JsonValueKind.Object && described.TryGetProperty(field.Name, out var own) ? own : others;
            if (rule.ValueKind != JsonValueKind.Object)
                yield return $"{at}.{field.Name} is not described";
            else
                foreach (var problem in Check(rule, field.Value, $"{at}.{field.Name}"))
                    yield return problem;
        }
    }

    (JsonSchemaFile File, JsonElement Target) Resolve(string reference)
    {
        var parts = reference.Split('#');
        var file = parts[0].Length == 0 ? this : Load(parts[0]);
        var target = file._root;
        foreach (var step in parts[1].Split('/', StringSplitOptions.RemoveEmptyEntries))
            target = target.GetProperty(step);
        return (file, target);
    }

    static bool HasType(string type, JsonElement value) => type switch
    {
        "object" => value.ValueKind == JsonValueKind.Object,
        "array" => value.ValueKind == JsonValueKind.Array,
        "string" => value.ValueKind == JsonValueKind.String,
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "integer" => value.ValueKind == JsonValueKind.Number && (value.TryGetInt64(out _) || value.TryGetUInt64(out _)),
        "number" => value.ValueKind == JsonValueKind.Number,
        _ => throw new NotSupportedException($"the schema type '{type}' is not known to this check"),
    };

    static string FindFolder()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "CrmBackup.Cdc.sln")))
            folder = Path.GetDirectoryName(folder) ?? throw new DirectoryNotFoundException("the repository's root was not found");
        return Path.Combine(folder, "schemas");
    }
}
