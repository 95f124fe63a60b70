using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>A label is renamed, and later the column gets another type: what was told between the two finds what was told before.</summary>
public sealed class RewrittenColumns
{
    static readonly ColumnShape _id = new(1, "id", 23, -1, "integer", IsKey: false);

    static RelationShape Shape(int version, ReplicaIdentity identity, ColumnShape column) =>
        new(1, version, new((ulong)version * 0x100), 16400, "public", "t", identity, [_id, column with { IsKey = identity == ReplicaIdentity.Default }]);

    static ColumnShape Mood(string label) => new(2, "c", 16500, -1, "public.mood", IsKey: false, Rule: new EnumRule([new EnumLabel(16501, label), new EnumLabel(16502, "other")]));

    [Theory]
    [InlineData(ReplicaIdentity.Full)]
    [InlineData(ReplicaIdentity.Default)]
    public async Task Events_between_a_renamed_label_and_a_rewrite_find_their_rows(ReplicaIdentity identity)
    {
        RelationShape[] shapes = [Shape(1, identity, Mood("before")), Shape(2, identity, Mood("after")), Shape(3, identity, new(2, "c", 2950, -1, "uuid", IsKey: false))];
        const string uuid = "697fc8e7-07ef-2de4-2749-fc74d7f7cf30";
        var kind = identity == ReplicaIdentity.Full ? OldTupleKind.Full : OldTupleKind.Key;
        ChangeEvent[] events =
        [
            Event(0x150, 1, 0, EventKind.Insert, default, Row("1", "before")),
            Event(0x150, 1, 1, EventKind.Insert, default, Row("2", "other")),
            Event(0x250, 2, 0, EventKind.Delete, Row("1", "after"), default),
            Event(0x300, 3, 0, EventKind.Rewrite, default, default),
            Event(0x300, 3, 1, EventKind.Insert, default, Row("2", uuid)),
        ];
        foreach (var (target, expected) in new[] { (1, "1 before, 2 other"), (2, "2 other"), (3, $"2 {uuid}") })
        {
            var at = shapes[target - 1].Since.Value + 0x50;
            var rows = new List<string>();
            await RelationFold.RunAsync(
                new FoldInput
                {
                    Target = shapes[target - 1],
                    Shapes = [.. shapes.Take(target)],
                    Chunks = [],
                    Events = () => events.Where(change => change.CommitLsn.Value <= at),
                    Includes = (_, _) => true,
                },
                new FoldOptions(), (batch, _) =>
                {
                    for (var row = 0; row < batch.Count; row++)
                        rows.Add(Text(batch[row]));
                    return ValueTask.CompletedTask;
                }, default);
            Assert.Equal(expected, string.Join(", ", rows.Order(StringComparer.Ordinal)));
        }

        ChangeEvent Event(ulong commit, int shape, int ordinal, EventKind what, byte[]? old, byte[]? fresh) =>
            new(new(commit), default, commit, ordinal, what, 1, shape, old is null ? OldTupleKind.None : kind, old, fresh);
    }

    static byte[] Row(params string[] values)
    {
        var writer = new TupleWriter();
        writer.Begin();
        foreach (var value in values)
            writer.Text(Encoding.UTF8.GetBytes(value));
        return writer.End().ToArray();
    }

    static string Text(ReadOnlySpan<byte> tuple)
    {
        var reader = new TupleReader(tuple);
        var texts = new List<string>();
        while (texts.Count < reader.Count)
        {
            reader.Next(out var text);
            texts.Add(Encoding.UTF8.GetString(text));
        }
        return string.Join(' ', texts);
    }
}
