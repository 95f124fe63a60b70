using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests.Segments;

/// <summary>Tuples, shapes and events for segment tests.</summary>
static class Given
{
    /// <summary>Stands for an unchanged TOASTed value.</summary>
    public const string Unchanged = "\0unchanged";

    public static readonly SegmentOrigin Origin =
        new(Guid.Parse("0197a5c0-0000-7000-8000-000000000001"), VaultFormat.Current, 7_000_000_000_000_000_001, 3);

    public static byte[] Tuple(params string?[] columns)
    {
        var writer = new TupleWriter();
        writer.Begin();
        foreach (var column in columns)
            if (column is null)
                writer.Null();
            else if (column == Unchanged)
                writer.Unchanged();
            else
                writer.Text(Encoding.UTF8.GetBytes(column));
        return writer.End().ToArray();
    }

    public static string?[] Texts(ReadOnlySpan<byte> tuple)
    {
        var reader = new TupleReader(tuple);
        var texts = new string?[reader.Count];
        for (var i = 0; i < texts.Length; i++)
            texts[i] = reader.Next(out var text) switch
            {
                ColumnState.Null => null,
                ColumnState.Unchanged => Unchanged,
                _ => Encoding.UTF8.GetString(text),
            };
        return texts;
    }

    public static RelationShape Shape(int number, int version, params (string Name, string Type)[] columns) =>
        new(number, version, new Lsn(1), 16384 + (uint)number, "public", $"t{number}", ReplicaIdentity.Default,
            [.. columns.Select((column, i) => new ColumnShape((short)(i + 1), column.Name, OidOf(column.Type), TypeModOf(column.Type), column.Type, i == 0))]);

    static uint OidOf(string type) => type.Split('(')[0] switch
    {
        "boolean" => 16,
        "bytea" => 17,
        "bigint" => 20,
        "smallint" => 21,
        "integer" => 23,
        "text" => 25,
        "json" => 114,
        "real" => 700,
        "double precision" => 701,
        "character" => 1042,
        "character varying" => 1043,
        "date" => 1082,
        "time without time zone" => 1083,
        "timestamp without time zone" => 1114,
        "timestamp with time zone" => 1184,
        "interval" => 1186,
        "numeric" => 1700,
        "uuid" => 2950,
        "jsonb" => 3802,
        _ => 99_999,
    };

    static int TypeModOf(string type) =>
        type.StartsWith("numeric(", StringComparison.Ordinal) && type["numeric(".Length..^1].Split(',') is [var p, var s]
            ? ((int.Parse(p) << 16) | (int.Parse(s) & 0x7FF)) + 4
            : -1;

    /// <summary>Independent of the builder's memory.</summary>
    public static ChangeEvent Kept(ChangeEvent change) =>
        change with { OldTuple = change.OldTuple.ToArray(), NewTuple = change.NewTuple.ToArray() };

    public static void Same(IReadOnlyList<ChangeEvent> expected, IReadOnlyList<ChangeEvent> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        foreach (var (one, other) in expected.Zip(actual))
        {
            Assert.Equal(one with { OldTuple = default, NewTuple = default }, other with { OldTuple = default, NewTuple = default });
            Assert.Equal(one.OldTuple.ToArray(), other.OldTuple.ToArray());
            Assert.Equal(one.NewTuple.ToArray(), other.NewTuple.ToArray());
        }
    }
}
