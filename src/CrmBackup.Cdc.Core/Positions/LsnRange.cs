namespace CrmBackup.Cdc.Core;

/// <summary>Transactions with After &lt; commit end &lt;= UpTo. Neighbours share an edge, so a gap is one comparison.</summary>
public readonly record struct LsnRange(Lsn After, Lsn UpTo)
{
    public bool Continues(LsnRange previous) => After == previous.UpTo;

    public bool Holds(Lsn commitEnd) => commitEnd > After && commitEnd <= UpTo;

    public override string ToString() => $"({After}, {UpTo}]";
}
