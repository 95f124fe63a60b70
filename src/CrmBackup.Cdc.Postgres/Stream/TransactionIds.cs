using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>pgoutput carries 32 bits of a transaction's id; the epoch above them follows from a recent 64-bit id, because ids that are
/// still decoded lie within 2^31 of the next one: the slot's catalog_xmin keeps them there.</summary>
public static class TransactionIds
{
    /// <param name="recent">A 64-bit id less than 2^31 transactions old.</param>
    /// <exception cref="FormatViolationException">No server has such an id beside the recent one.</exception>
    public static ulong Resolve(uint xid, ulong recent)
    {
        var distance = unchecked((int)(xid - (uint)recent));
        if (distance < 0 && recent < (ulong)-(long)distance)
            throw new FormatViolationException($"transaction id {xid} lies before the first one");
        return unchecked(recent + (ulong)(long)distance);
    }
}
