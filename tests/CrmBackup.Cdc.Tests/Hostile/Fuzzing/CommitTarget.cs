using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>The commits of a vault one after the other, as their files are, and everything that is concluded from them.</summary>
sealed class CommitTarget : FuzzTarget
{
    public override string Name => "commit";

    public override int UsualRounds => 1_500;

    public override bool Read(byte[] bytes) => Accepts(() =>
    {
        var state = VaultState.Empty;
        foreach (var file in Files(bytes))
            state = state.Apply(new CommitLink([], CommitCodec.Parse(state.Head + 1, file)));
        var coverage = Coverage.Of(state);
        coverage.Describe();
        SettlePlan.For(state, new SettleOptions(), new SourceTime(0), atOnce: true);
        VaultVerificationEffect.Lost(coverage, Coverage.Of(state.Without(state.Segments.Values.Take(3))));
        if (coverage.Latest is { } latest)
            RestorePlan.For(state, latest);
    });

    public override byte[] Mutate(Random random, IReadOnlyList<byte[]> corpus)
    {
        var files = Files(Of(random, corpus));
        if (files.Count == 0)
            return Mutation.Of(random, corpus);
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            var at = random.Next(files.Count);
            files[at] = random.Next(4) == 0 ? Checked(Mutation.Of(random, files)) : Changed(random, files[at], Of(random, files));
        }
        if (random.Next(10) == 0)
            files.RemoveAt(random.Next(files.Count));
        return [.. files.SelectMany(file => file)];
    }

    /// <summary>Some of its JSON is other JSON.</summary>
    static byte[] Changed(Random random, byte[] file, byte[] other)
    {
        try
        {
            var root = JsonNode.Parse(Line(file))!;
            JsonMutation.Change(random, root, JsonNode.Parse(Line(other))!);
            return Checked([.. JsonSerializer.SerializeToUtf8Bytes(root, JsonMutation.Plain), (byte)'\n']);
        }
        catch (Exception unreadable) when (unreadable is JsonException or ArgumentException or InvalidOperationException)
        {
            // Changed before, or kept because it failed once: two fields of one name, text that is no UTF-8.
            return Checked(Mutation.Of(random, [file]));
        }
    }

    static ReadOnlySpan<byte> Line(byte[] file) =>
        file.AsSpan().IndexOf((byte)'\n') is >= 0 and var end ? file.AsSpan(0, end) : file;

    /// <summary>With the check that a commit's line must end with; without a signature, which nobody can forge.</summary>
    static byte[] Checked(byte[] file)
    {
        var field = ",\"check\":\""u8;
        var at = file.AsSpan().LastIndexOf(field);
        if (at < 0)
            return file;
        return [.. file.AsSpan(0, at), .. field, .. Encoding.ASCII.GetBytes(Sha256.Of(file.AsSpan(0, at)).Hex), .. "\"}\n"u8];
    }

    /// <summary>A line is a commit; 128 hex digits are the signature of the one before.</summary>
    static List<byte[]> Files(byte[] bytes)
    {
        var files = new List<byte[]>();
        for (var rest = bytes.AsSpan(); !rest.IsEmpty;)
        {
            var end = rest.IndexOf((byte)'\n') is >= 0 and var found ? found + 1 : rest.Length;
            if (files.Count > 0 && rest[0] != (byte)'{')
                files[^1] = [.. files[^1], .. rest[..end]];
            else
                files.Add(rest[..end].ToArray());
            rest = rest[end..];
        }
        return files;
    }
}
