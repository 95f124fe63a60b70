using System.Text;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The one place where names and values become SQL.</summary>
public static class SqlText
{
    /// <summary>Always quoted: no list of key words to keep up with.</summary>
    public static string Identifier(string name)
    {
        if (name.Length == 0 || name.Contains('\0'))
            throw new ArgumentException("an identifier is neither empty nor does it hold a zero", nameof(name));
        return $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
    }

    public static string Qualified(string schema, string name) => $"{Identifier(schema)}.{Identifier(name)}";

    /// <summary>Right whatever <c>standard_conforming_strings</c> is.</summary>
    public static string Literal(string value)
    {
        if (value.Contains('\0'))
            throw new ArgumentException("PostgreSQL's text holds no zero", nameof(value));
        var quoted = value.Replace("'", "''", StringComparison.Ordinal);
        return quoted.Contains('\\')
            ? $"E'{quoted.Replace("\\", "\\\\", StringComparison.Ordinal)}'"
            : $"'{quoted}'";
    }

    /// <summary>A dollar-quoted body whose tag does not occur in it.</summary>
    public static string DollarQuoted(string body)
    {
        var tag = new StringBuilder("$crmbackup$");
        while (body.Contains(tag.ToString(), StringComparison.Ordinal))
            tag.Insert(tag.Length - 1, '_');
        return $"{tag}{body}{tag}";
    }
}
