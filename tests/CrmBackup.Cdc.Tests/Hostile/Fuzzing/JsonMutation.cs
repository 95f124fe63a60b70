using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>Changes a document as one who knows what it is: values of other kinds, other places, other sizes.</summary>
static class JsonMutation
{
    public static JsonSerializerOptions Plain { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = 1000 };

    static readonly string[] Texts =
    [
        "", "0/0", "0/1", "FFFFFFFF/FFFFFFFF", "739:745:740,742", "0:0:", "18446744073709551615:18446744073709551615:", "../x", "log/a.parquet",
        "9999-12-31T23:59:59.9999999+00:00", "0001-01-01T00:00:00+00:00", "-9223372036854775808", "Database", "Base", "d", "\u0000", "\ud800",
        new string('0', 64), new string('f', 64), new string('x', 5000),
    ];

    static readonly string[] Numbers =
        ["0", "-1", "1", "2", "2147483647", "-2147483648", "4294967296", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "1e308", "0.5", "1e-400"];

    /// <param name="other">Values come from here too.</param>
    public static void Change(Random random, JsonNode root, JsonNode other)
    {
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            var places = Places(root);
            if (places.Count == 0)
                return;
            var (parent, key) = places[random.Next(places.Count)];
            // The check and the number are what everything else depends on: seldom.
            if (key is "check" or "number" or "format" && random.Next(20) > 0)
                continue;
            switch (random.Next(7))
            {
                case 0: Remove(parent, key); break;
                case 1: Set(parent, key, null); break;
                case 2: Set(parent, key, JsonNode.Parse(Numbers[random.Next(Numbers.Length)])); break;
                case 3: Set(parent, key, JsonValue.Create(Texts[random.Next(Texts.Length)])); break;
                case 4 when Places(other) is { Count: > 0 } others: Set(parent, key, Get(others[random.Next(others.Count)])?.DeepClone()); break;
                case 5 when Get((parent, key)) is JsonArray list: Grow(random, list); break;
                default: Set(parent, key, random.Next(3) == 0 ? Deep(random.Next(1, 100)) : Tweaked(random, Get((parent, key)))); break;
            }
        }
    }

    static void Grow(Random random, JsonArray list)
    {
        for (var times = random.Next(1, 50); times > 0 && list.Count > 0; times--)
            list.Add(list[random.Next(list.Count)]?.DeepClone());
    }

    static JsonArray Deep(int levels)
    {
        var inner = new JsonArray();
        for (var i = 1; i < levels; i++)
            inner = [inner];
        return inner;
    }

    /// <summary>Nearly the same number or text.</summary>
    static JsonNode? Tweaked(Random random, JsonNode? value) => value switch
    {
        JsonValue number when number.GetValueKind() == JsonValueKind.Number && number.TryGetValue<long>(out var known) => JsonValue.Create(unchecked(known + random.Next(-2, 3))),
        JsonValue text when text.GetValueKind() == JsonValueKind.String && text.GetValue<string>() is { Length: > 0 } known =>
            JsonValue.Create(known.Remove(random.Next(known.Length), 1).Insert(random.Next(known.Length), "\"0/:{é"[random.Next(6)].ToString())),
        _ => value?.DeepClone(),
    };

    static List<(JsonNode Parent, string Key)> Places(JsonNode root)
    {
        var places = new List<(JsonNode, string)>();
        var open = new Stack<JsonNode>([root]);
        while (open.TryPop(out var node))
            switch (node)
            {
                case JsonObject fields:
                    foreach (var (key, value) in fields)
                        Seen(fields, key, value);
                    break;
                case JsonArray items:
                    for (var i = 0; i < items.Count; i++)
                        Seen(items, $"{i}", items[i]);
                    break;
            }
        return places;

        void Seen(JsonNode parent, string key, JsonNode? value)
        {
            places.Add((parent, key));
            if (value is not null)
                open.Push(value);
        }
    }

    static JsonNode? Get((JsonNode Parent, string Key) place) =>
        place.Parent is JsonArray items ? items[int.Parse(place.Key, null)] : place.Parent[place.Key];

    static void Set(JsonNode parent, string key, JsonNode? value)
    {
        if (parent is JsonArray items)
            items[int.Parse(key, null)] = value;
        else
            parent[key] = value;
    }

    static void Remove(JsonNode parent, string key)
    {
        if (parent is JsonArray items)
            items.RemoveAt(int.Parse(key, null));
        else
            parent.AsObject().Remove(key);
    }
}
