using Npgsql;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>Every built-in type a column can have, and the values of it that break tools: as text, as the type's input takes it.</summary>
static class TypeValues
{
    /// <summary>PostgreSQL itself takes no text for these: no dump of any kind can put a value back.</summary>
    static readonly string[] _withoutInput =
    [
        "pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "gtsvector",
    ];

    static readonly string[] _texts =
    [
        "", " ", "NULL", "\\N", "\\.", "\t\n\r\b\f\v", "\"quoted\", ''too''", "Zoë – 客户 🙂 \u202e", "back\\slash\\", "{}", "(,)", "\u0001\u007f",
    ];
    static readonly string[] _floats = ["NaN", "-0", "Infinity", "-Infinity", "0.1", "1e-37", "3.4028235e38", "1e-45"];
    static readonly string[] _timestamps =
        ["infinity", "-infinity", "4713-01-01 00:00:00 BC", "0044-03-15 12:00:00.5 BC", "294276-12-31 23:59:59.999999", "2024-02-29 23:59:59.000001", "0001-01-01"];
    static readonly string[] _dates = ["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31", "2024-02-29", "10000-01-01"];

    static readonly Dictionary<string, string[]> _values = new()
    {
        ["boolean"] = ["t", "f"],
        ["bytea"] = ["\\x", "\\x00", "\\xff5c0a00", "\\x5c78"],
        ["\"char\""] = ["a", "", " ", "\\"],
        ["name"] = ["", "a.b\"c", new string('n', 63)],
        ["bigint"] = ["-9223372036854775808", "9223372036854775807", "0"],
        ["smallint"] = ["-32768", "32767", "0"],
        ["integer"] = ["-2147483648", "2147483647", "0"],
        ["int2vector"] = ["", "1 -2 3"],
        ["oidvector"] = ["", "1 4294967295"],
        ["text"] = _texts,
        ["character varying"] = _texts,
        ["bpchar"] = ["ab  ", "", " ", "äöü  "],
        ["refcursor"] = ["", "portal"],
        ["oid"] = ["0", "4294967295"],
        ["tid"] = ["(0,0)", "(4294967295,65535)"],
        ["xid"] = ["0", "4294967295"],
        ["cid"] = ["0", "4294967295"],
        ["xid8"] = ["0", "18446744073709551615"],
        ["json"] = ["null", " { \"a\" : 1.0 ,  \"a\":\t2 } ", "\"\\u0000\"", "[]", "1e400"],
        ["jsonb"] = ["null", "{\"b\": 1.10, \"a\": [null, {}]}", "\"\\ud83d\\ude00\"", "[]", "-0", "1e40"],
        ["jsonpath"] = ["$", "strict $.\"a b\"[*] ? (@ > 1)"],
        ["xml"] = ["", "text only", "<a b='c'>&amp; ü</a>", "<a/><b/>", "<?xml version=\"1.1\"?><a/>"],
        ["point"] = ["(0,-0)", "(NaN,Infinity)", "(1e-300,0.1)"],
        ["lseg"] = ["[(1,2),(3,4)]"],
        ["path"] = ["[(1,2),(3,4)]", "((1,2),(3,4))"],
        ["box"] = ["(3,4),(1,2)"],
        ["polygon"] = ["((1,2),(3,4),(0.1,-0))"],
        ["line"] = ["{1,-1,0.1}"],
        ["circle"] = ["<(1,2),3>", "<(0,0),Infinity>"],
        ["real"] = _floats,
        ["double precision"] = [.. _floats, "5e-324", "1.7976931348623157e308", "0.30000000000000004"],
        ["money"] = ["-92233720368547758.08", "92233720368547758.07", "0"],
        ["macaddr"] = ["08:00:2b:01:02:03"],
        ["macaddr8"] = ["08:00:2b:01:02:03:04:05"],
        ["inet"] = ["10.1.2.3", "10.1.2.3/8", "::1", "2001:db8::/32", "::ffff:1.2.3.4"],
        ["cidr"] = ["10.1.2.3/32", "10.0.0.0/8", "::/0"],
        ["aclitem"] = ["=r/postgres", "postgres=arwdDxt/postgres"],
        ["date"] = _dates,
        ["time without time zone"] = ["24:00:00", "00:00:00", "23:59:59.999999"],
        ["time with time zone"] = ["24:00:00+15:59:59", "00:00:00-15:59", "12:00:00.000001+00"],
        ["timestamp without time zone"] = _timestamps,
        ["timestamp with time zone"] = [.. _timestamps.Select(one => one.Contains("infinity", StringComparison.Ordinal) ? one : one.Replace(" BC", "+00 BC", StringComparison.Ordinal))],
        ["interval"] = ["-178000000 years", "178000000 years -11 mons 30 days -23:59:59.999999", "0", "1 mon -1 day", "-00:00:00.000001"],
        ["\"bit\""] = ["0", "10110", "1"],
        ["bit varying"] = ["", "0", "1011001110001"],
        ["numeric"] = ["NaN", "Infinity", "-Infinity", "1e131071", "-1e-16383", "0.00", "-12345678901234567890123456789012345678901234567890.5"],
        ["regproc"] = ["pg_catalog.now", "-", "public.\"Odd.f\"", "99999999"],
        ["regprocedure"] = ["pg_catalog.abs(integer)", "public.\"Odd.f\"(integer)", "-"],
        ["regoper"] = ["||/", "0"],
        ["regoperator"] = ["+(integer,integer)", "0"],
        ["regclass"] = ["pg_catalog.pg_class", "public.\"Odd.\"\"Table\n\"", "-", "99999999"],
        ["regtype"] = ["integer", "public.mood", "character varying", "-"],
        ["regcollation"] = ["\"C\"", "-"],
        ["regconfig"] = ["english", "-"],
        ["regdictionary"] = ["simple", "-"],
        ["regrole"] = ["postgres", "-"],
        ["regnamespace"] = ["pg_catalog", "\"Odd.Schema\"", "-"],
        ["uuid"] = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
        ["pg_lsn"] = ["0/0", "FFFFFFFF/FFFFFFFF"],
        ["tsvector"] = ["", "'a''b':1A,2 'c\\\\d'", "a fat cat"],
        ["tsquery"] = ["", "'fat':AB & !cat:* <-> rat"],
        ["txid_snapshot"] = ["10:20:10,14,15"],
        ["pg_snapshot"] = ["10:20:10,14,15", "1:1:"],
        ["int4range"] = ["empty", "(,)", "[1,5)", "(,2147483647)"],
        ["int8range"] = ["empty", "[-9223372036854775808,5)"],
        ["numrange"] = ["empty", "(NaN,)", "[0.10,1e30]", "[-Infinity,Infinity)"],
        ["tsrange"] = ["empty", "[-infinity,infinity]", "[\"2024-01-01 00:00:00\",)"],
        ["tstzrange"] = ["empty", "[-infinity,infinity]", "(,\"0044-03-15 12:00:00+00 BC\"]"],
        ["daterange"] = ["empty", "[2024-02-29,infinity)", "(,)"],
    };

    /// <summary>Columns with modifiers: their Parquet twins differ.</summary>
    static readonly (string Type, string[] Values)[] _modified =
    [
        ("numeric(12,3)", ["0", "-0.001", "999999999.999", "NaN"]),
        ("numeric(38,10)", ["9999999999999999999999999999.9999999999", "-1"]),
        ("numeric(1000,500)", ["1e499", "-1e-500", "0"]),
        ("character varying(5)", ["", "12345", "äöü"]),
        ("character(6)", ["ab", "", "äöü"]),
        ("bit(5)", ["10110", "00000"]),
        ("bit varying(7)", ["", "1011001"]),
        ("timestamp(3) without time zone", ["2024-02-29 12:00:00.123", "infinity"]),
        ("timestamp(0) with time zone", ["2024-02-29 12:00:00+00"]),
        ("time(2) without time zone", ["24:00:00", "12:00:00.25"]),
        ("interval day to second(3)", ["3 days 04:05:06.789"]),
        ("interval year", ["-5 years"]),
    ];

    /// <summary>Columns by SQL type, each with the SQL expressions of its values.</summary>
    /// <exception cref="InvalidOperationException">The server has a type that this class says nothing of.</exception>
    public static async Task<IReadOnlyList<(string Type, IReadOnlyList<string> Values)>> OfAsync(PostgresServer server, string database)
    {
        var columns = new List<(string, IReadOnlyList<string>)>();
        await using var connection = new NpgsqlConnection(server.ConnectionString(database));
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("""
            SELECT format_type(t.oid, -1), t.typtype::text, CASE WHEN t.typcategory = 'A' AND t.typname LIKE '\_%' THEN format_type(t.typelem, -1) END,
              (SELECT format_type(r.rngtypid, -1) FROM pg_range r WHERE r.rngmultitypid = t.oid)
            FROM pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm') AND t.typisdefined
              AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typtype NOT IN ('b', 'r', 'm'))
            ORDER BY t.typcategory = 'A', t.oid
            """, connection);
        await using var row = await command.ExecuteReaderAsync();
        while (await row.ReadAsync())
        {
            var type = row.GetString(0);
            var of = row.IsDBNull(2) ? type : row.GetString(2);
            if (_withoutInput.Contains(of))
                continue;
            if (!row.IsDBNull(2))
                columns.Add((type, [.. Arrays(type, Literals(of, row.IsDBNull(2) ? null : of))]));
            else
                columns.Add((type, Literals(type, row.IsDBNull(3) ? null : row.GetString(3))));
        }
        columns.AddRange(_modified.Select(column => (column.Type, (IReadOnlyList<string>)[.. column.Values.Select(value => Literal(value, column.Type))])));
        return columns;
    }

    static IReadOnlyList<string> Literals(string type, string? range)
    {
        if (_values.TryGetValue(type, out var values))
            return [.. values.Select(value => Literal(value, type))];
        var name = range is not null && range != type ? range : type.Replace("multirange", "range", StringComparison.Ordinal);
        return name != type && _values.TryGetValue(name, out var ranges)
            ? [Literal("{}", type), .. ranges.Where(value => value != "empty").Select(value => Literal($"{{{value}}}", type))]
            : throw new InvalidOperationException($"no values are given for the type {type}");
    }

    static IEnumerable<string> Arrays(string type, IReadOnlyList<string> elements)
    {
        var (first, last) = (elements[0], elements[^1]);
        yield return $"ARRAY[{string.Join(", ", elements)}, NULL]::{type}";
        yield return $"'{{}}'::{type}";
        yield return $"('[-2:-1]=' || ARRAY[{first}, {last}]::{type}::text)::{type}";
        yield return $"ARRAY[ARRAY[{first}, NULL], ARRAY[{last}, {first}]]::{type}";
    }

    static string Literal(string value, string type) =>
        $"E'{value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "''", StringComparison.Ordinal)}'::{type}";
}
