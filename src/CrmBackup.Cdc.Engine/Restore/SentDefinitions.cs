using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Folds the definitions that came in the stream over a dump. They stand in the vault as the messages they came as: events like
/// any other, hashed, chained, settled.</summary>
static class SentDefinitions
{
    /// <returns>Null when a command of the span was not described after all: then the schema is not exact.</returns>
    public static SchemaUnits? Fold(BackupVault vault, SchemaUnits units, Lsn after, Position upTo)
    {
        var segments = TargetResolution.EventSegments(vault.State).Where(segment => segment.Relation == 0
            && segment.Last > after && segment.First <= upTo.Lsn && (segment.Timeline == 0 || segment.Timeline == upTo.Timeline));
        (Lsn, int)? last = null;
        foreach (var change in new EventMerge(vault.Medium).Read(segments, relation: 0))
        {
            if (change.Kind != EventKind.Message || change.CommitLsn <= after || change.CommitLsn > upTo.Lsn || last == (change.CommitLsn, change.Ordinal))
                continue;
            last = (change.CommitLsn, change.Ordinal);
            var tuple = new TupleReader(change.NewTuple.Span);
            tuple.Next(out _);
            tuple.Next(out var content);
            if (OwnMessage.Parse(content) is not DdlMessage ddl)
                continue;
            if (ddl.Schema is not { Undescribed: null } schema)
                return null;
            units.Apply(schema);
        }
        return units;
    }
}
