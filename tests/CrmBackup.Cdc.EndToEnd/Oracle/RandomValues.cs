using System.Globalization;
using System.Text;

namespace CrmBackup.Cdc.EndToEnd.Oracle;

/// <summary>SQL literals of every type the oracle's tables have, the odd ones often.</summary>
sealed class RandomValues(Random random)
{
    static readonly string[] _numerics = ["0", "-0.0", "'NaN'", "'Infinity'", "'-Infinity'", "1e130", "0.00000000000000000001", "12345678901234567890123456789.5"];
    static readonly string[] _floats = ["'NaN'", "'-0'", "'Infinity'", "5e-324", "0.1", "1.7976931348623157e308"];
    static readonly string[] _times =
        ["'infinity'", "'-infinity'", "'0044-03-15 12:00:00+00 BC'", "'294276-12-31 23:59:59.999999+00'", "'2024-02-29 23:59:59.999999+14'", "clock_timestamp()"];
    static readonly string[] _dates = ["'infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'2024-02-29'"];
    static readonly string[] _words =
        ["''", "' '", "'NULL'", "E'\\\\N'", "E'tab\\there'", "E'line\\nbreak\\r'", "'\"quoted\", ''too'''", "'Zoë – 客户 🙂'", "E'back\\\\slash'", "'{}'", "'(,)'"];
    static readonly string[] _documents =
        ["'null'", "'{\"a\": [1, null, {\"b\": \"\\u00e9\"}]}'", "'[]'", "'1.10'", "'{\"k\": 1e400}'", "'\"text\"'"];
    static readonly string[] _arrays =
        ["'{}'", "'{1,NULL,3}'", "'[0:1]={5,6}'", "'{{1,2},{3,4}}'", "'{-2147483648}'"];

    public static readonly string[] Types =
    [
        "integer", "bigint", "numeric", "numeric(12,3)", "text", "varchar(40)", "char(6)", "boolean", "timestamptz", "date", "uuid", "jsonb",
        "bytea", "integer[]", "double precision", "interval", "mood", "pair", "positive",
    ];

    /// <param name="type">As <c>format_type</c> names it, or one of <see cref="Types"/>.</param>
    public string Literal(string type, bool nullable = true)
    {
        if (nullable && random.Next(8) == 0)
            return "NULL";
        var odd = random.Next(3) == 0;
        return type switch
        {
            "integer" or "positive" or "smallint" => Int(1, 30000),
            "bigint" => odd ? "9223372036854775807" : Int(0, int.MaxValue),
            "numeric" => odd ? Pick(_numerics) : Int(-1000, 1000) + "." + Int(0, 999),
            "boolean" => random.Next(2) == 0 ? "true" : "false",
            "timestamp with time zone" or "timestamptz" => Pick(_times) + "::timestamptz",
            "timestamp without time zone" => "'2024-02-29 12:34:56.789'",
            "date" => Pick(_dates) + "::date",
            "uuid" => $"'{new Guid(Bytes(16))}'",
            "jsonb" or "json" => Pick(_documents) + "::" + type,
            "bytea" => $"'\\x{Convert.ToHexString(Bytes(odd ? 6000 : random.Next(20)))}'",
            "integer[]" => Pick(_arrays) + "::integer[]",
            "double precision" => (odd ? Pick(_floats) : random.NextDouble().ToString("R", CultureInfo.InvariantCulture)) + "::float8",
            "interval" => $"'{random.Next(-20, 20)} months {random.Next(-40, 40)} days {random.Next(-9, 9)}.5 seconds'::interval",
            "mood" => "(SELECT enum_range(NULL::mood))[1 + floor(random() * cardinality(enum_range(NULL::mood)))::int]",
            "pair" => $"jsonb_populate_record(NULL::pair, '{{\"x\": {random.Next(99)}, \"y\": \"a,\\\"b\"}}')",
            _ when type.StartsWith("numeric(", StringComparison.Ordinal) => Int(-1000, 1000) + ".125",
            _ when type.StartsWith("char", StringComparison.Ordinal) => Pick(["'ab'", "'a  '", "''", "'äöü'"]),
            // Values of this size leave the row, and an update that does not touch them does not carry them.
            "text" => random.Next(6) == 0 ? $"'{Convert.ToBase64String(Bytes(random.Next(3000, 9000)))}'" : Pick(_words),
            _ when type.Contains("varying", StringComparison.Ordinal) || type.StartsWith("varchar", StringComparison.Ordinal) => Pick(_words),
            _ => "NULL",
        };
    }

    public string Name(string prefix)
    {
        var name = new StringBuilder(prefix).Append(random.Next(1000));
        if (random.Next(6) == 0)
            name.Append(Pick([" Ü", ".x", "\"q", "'s", "_OP"]));
        return '"' + name.ToString().Replace("\"", "\"\"") + '"';
    }

    public string Pick(IReadOnlyList<string> of) => of[random.Next(of.Count)];

    string Int(int from, int to) => random.Next(from, to).ToString(CultureInfo.InvariantCulture);

    byte[] Bytes(int count)
    {
        var bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }
}
