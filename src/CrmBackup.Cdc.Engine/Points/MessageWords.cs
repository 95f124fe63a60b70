using System.Text.Json;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What a message of ours says to people: the command tag of a DDL, the name of a mark.</summary>
readonly record struct MessageWords(string? Command, string? Mark)
{
    /// <param name="tuple">Prefix and content, the content being <c>mac ordinal json</c> as it was verified, or the JSON alone.</param>
    public static MessageWords Of(ReadOnlySpan<byte> tuple)
    {
        var columns = new TupleReader(tuple);
        columns.Next(out _);
        if (columns.Next(out var content) != ColumnState.Text)
            throw new FormatViolationException("a message has no content");
        var brace = content.IndexOf((byte)'{');
        if (brace < 0)
            throw new FormatViolationException("a message's content holds no JSON");
        var json = new Utf8JsonReader(content[brace..]);
        string? kind = null, command = null, name = null;
        while (json.Read())
        {
            if (json.TokenType != JsonTokenType.PropertyName || json.CurrentDepth != 1)
                continue;
            var (isKind, isCommand, isName) = (json.ValueTextEquals("is"u8), json.ValueTextEquals("command"u8), json.ValueTextEquals("name"u8));
            json.Read();
            if (isKind)
                kind = json.GetString();
            else if (isCommand)
                command = json.GetString();
            else if (isName)
                name = json.GetString();
            else
                json.Skip();
        }
        return new MessageWords(kind == "ddl" ? command : null, kind == "mark" ? name : null);
    }
}
