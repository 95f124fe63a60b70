using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What a restore is asked for.</summary>
public sealed record RestoreOptions
{
    public required RestoreTarget To { get; init; }

    /// <summary>Excludes the transaction that <see cref="To"/> names.</summary>
    public bool Before { get; init; }

    /// <summary>Connection string or URI of the database to restore into; its password is never printed.</summary>
    public required string Target { get; init; }

    /// <summary>schema.table or a bare name, with * and ?; empty = the whole database.</summary>
    public IReadOnlyList<string> Tables { get; init; } = [];

    /// <summary>Column equalities that the rows of the one chosen table must meet.</summary>
    public IReadOnlyList<ColumnEquality> Where { get; init; } = [];

    /// <summary>Chosen tables replace those of the existing database, instead of standing beside them as <c>table_restored_…</c>.</summary>
    public bool Replace { get; init; }

    /// <summary>Reads the restored tables back and compares them with the folded state.</summary>
    public bool Verify { get; init; }

    /// <summary>Only plans: the target is not touched.</summary>
    public bool DryRun { get; init; }

    /// <summary>A database that was only partly restored stays.</summary>
    public bool KeepPartial { get; init; }

    /// <summary>Tables at a time. 4: beyond it one server's disk is the bound.</summary>
    public int Jobs { get; init; } = Math.Clamp(Environment.ProcessorCount, 1, 4);

    public FoldOptions Fold { get; init; } = new();
}

/// <param name="Value">Canonical text; null for IS NULL.</param>
public sealed record ColumnEquality(string Column, string? Value)
{
    /// <exception cref="UsageException">Not <c>column=value</c>.</exception>
    public static ColumnEquality Parse(string text)
    {
        var equals = text.IndexOf('=', StringComparison.Ordinal);
        if (equals < 1)
            throw new UsageException($"--where '{text}' is not column=value", "For example --where account_id=4711.");
        var value = text[(equals + 1)..].Trim();
        if (value.Length >= 2 && value[0] == '\'' && value[^1] == '\'')
            value = value[1..^1].Replace("''", "'", StringComparison.Ordinal);
        else if (value.Equals("null", StringComparison.OrdinalIgnoreCase))
            return new ColumnEquality(text[..equals].Trim(), null);
        return new ColumnEquality(text[..equals].Trim(), value);
    }
}

public enum RestorePhase
{
    Plan,
    Prepare,
    Schema,
    Load,
    Indexes,
    Finish,
    Verify,
    Swap,
}

/// <param name="Table">The table at work, where there is one.</param>
/// <param name="Done">Of <paramref name="Total"/>; 0 of 0 where there is nothing to count.</param>
public sealed record RestoreProgress(RestorePhase Phase, string? Table, long Done, long Total);
