namespace CrmBackup.Cdc.Core;

/// <summary>A named place where a test may end the process, as a power cut would. Nothing happens unless the program was told so.</summary>
public static class FailPoint
{
    /// <summary>Set once, by the program's entry; ends the process when the name is the chosen one.</summary>
    public static Action<string>? Reached { get; set; }

    public static void Hit(string name) => Reached?.Invoke(name);

    /// <summary>The segment's bytes are written, its fsync has not returned.</summary>
    public const string SegmentFsync = "segment-fsync";
    /// <summary>The segment has its final name, no commit names it.</summary>
    public const string BeforeCommit = "before-commit";
    /// <summary>The commit is durable, the slot does not know it.</summary>
    public const string BeforeConfirm = "before-confirm";
    /// <summary>A settle job's segments have their final names, nobody was told of them.</summary>
    public const string MidSettle = "mid-settle";
}
