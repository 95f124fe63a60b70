using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Values of regclass, regproc and their like are written as the name of what they mean: another name, another text, and no row
/// changed. Nothing of ours tells which row means what, so after such DDL their tables are read anew.</summary>
static class RegValues
{
    /// <summary>regproc, regprocedure, regoper, regoperator, regclass, regtype, regrole, regnamespace, regconfig, regdictionary,
    /// regcollation, and their arrays.</summary>
    static readonly HashSet<uint> _types =
        [24, 2202, 2203, 2204, 2205, 2206, 4096, 4089, 3734, 3769, 4191, 1008, 2207, 2208, 2209, 2210, 2211, 4097, 4090, 3735, 3770, 4192];

    static readonly HashSet<string> _nameless =
    [
        "ALTER DEFAULT PRIVILEGES", "ALTER POLICY", "ALTER PUBLICATION", "ALTER RULE", "ALTER SUBSCRIPTION", "ALTER TRIGGER", "ALTER STATISTICS",
        "DROP POLICY", "DROP PUBLICATION", "DROP RULE", "DROP SUBSCRIPTION", "DROP TRIGGER", "DROP STATISTICS",
    ];

    public static bool In(RelationShape shape) => shape.Columns.Any(column => _types.Contains(column.TypeOid));

    /// <summary>Whether a command of this kind can rename, move or drop what a value names.</summary>
    public static bool MayRename(string command) =>
        (command.StartsWith("ALTER ", StringComparison.Ordinal) || command.StartsWith("DROP ", StringComparison.Ordinal)) && !_nameless.Contains(command);
}
