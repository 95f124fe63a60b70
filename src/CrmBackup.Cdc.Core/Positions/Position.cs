namespace CrmBackup.Cdc.Core;

/// <summary>An end LSN on a timeline. LSNs of different timelines do not compare.</summary>
public readonly record struct Position(uint Timeline, Lsn Lsn)
{
    public override string ToString() => $"{Lsn} (timeline {Timeline})";
}
