using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Cli;

/// <summary>The JSON of <c>--output json</c> (<c>schemas/output.schema.json</c>): camelCase, LSNs as 0/1A2B3C4, times as ISO 8601 in UTC,
/// durations in seconds, 64-bit numbers as numbers; a field that would be null is absent. Fields are added, never renamed.</summary>
static class OutputJson
{
    public static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DictionaryKeyPolicy = null,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters =
        {
            new LsnJson(), new Sha256Json(), new Moment(), new Seconds(), new JsonStringEnumConverter(JsonNamingPolicy.CamelCase),
        },
    };

    sealed class Moment : JsonConverter<SourceTime>
    {
        public override SourceTime Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            SourceTime.From(reader.GetDateTimeOffset());

        public override void Write(Utf8JsonWriter writer, SourceTime value, JsonSerializerOptions options) =>
            writer.WriteStringValue(value.ToDateTimeOffset().ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", CultureInfo.InvariantCulture));
    }

    sealed class Seconds : JsonConverter<TimeSpan>
    {
        public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            TimeSpan.FromSeconds(reader.GetDouble());

        public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) =>
            writer.WriteNumberValue(Math.Round(value.TotalSeconds, 3));
    }
}
