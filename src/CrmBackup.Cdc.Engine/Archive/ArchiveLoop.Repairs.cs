using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>The side of the loop that decides which bases are made by difference (<see cref="Repair"/>), and folds what the vault knows of
/// their tables: one after the other, beside the stream.</summary>
public sealed partial class ArchiveLoop
{
    /// <summary>Of <see cref="CatalogTable.Pages"/>.</summary>
    const long PageBytes = 8 << 10;
    /// <summary>64 MiB each for folding, sorting and keeping: more is spilled.</summary>
    static readonly FoldOptions _foldOfPast = new() { MemoryBytes = 64L << 20 };
    Task _folding = Task.CompletedTask;

    /// <summary>Null: the table is to be read.</summary>
    Repair? RepairOf(RelationShape shape)
    {
        if (!shape.HasKey || SizeOf(shape.Oid).Pages * PageBytes < _options.RepairBytesMin
            || shape.Columns.FirstOrDefault(column => column.IsKey && column.AttNum > 0 && OrderedKey.Orders(column.TypeOid)) is not { } key
            || PastOf(shape) is not { } past)
            return null;
        return new Repair(past, key.AttNum, from: null);
    }

    /// <summary>Where the vault last knew a table that had this very shape; null when it never did.</summary>
    Position? PastOf(RelationShape shape)
    {
        var state = _vault.State;
        if (Coverage.Of(state, new HashSet<int> { shape.Number }).Relations is not [{ Ranges: [.., var newest] }])
            return null;
        return state.RelationsAt(newest.UpTo.Lsn).TryGetValue(shape.Number, out var then) && then.Version == shape.Version ? newest.UpTo : null;
    }

    /// <summary>What the vault knows of one table at a time lies in memory, or on the disk beside it.</summary>
    async Task FoldNextAsync()
    {
        if (_folding.IsFaulted)
            await _folding;
        if (!_folding.IsCompleted || _bases.Open.Any(one => one.Repair is { Rows: not null } or { IsFolding: true })
            || _bases.Open.FirstOrDefault(one => one.Repair is not null && !one.PagesDone) is not { Repair: { } repair } next)
            return;
        repair.IsFolding = true;
        _folding = FoldAsync(next, repair, _ending);
    }

    async Task FoldAsync(BasePlanner.Base one, Repair repair, CancellationToken stop)
    {
        // The stream is not to wait for it.
        await Task.Yield();
        ArchiveInput.PastFolded folded;
        try
        {
            folded = new ArchiveInput.PastFolded(one, await new PastFold(_vault, _foldOfPast).RunAsync(
                one.Shape, repair.Past, repair.Column, repair.From, _options.RepairRangeRows, stop));
        }
        catch (Exception failure) when (failure is BackupException or IOException or UnauthorizedAccessException)
        {
            folded = new ArchiveInput.PastFolded(one, null, failure.Message);
        }
        await _inputs.Writer.WriteAsync(folded, stop);
    }

    void Folded(ArchiveInput.PastFolded folded)
    {
        // The stream may have been opened anew meanwhile: then the same is wanted for another base.
        if (_bases.Open.FirstOrDefault(one => one == folded.Base || (one.Shape == folded.Base.Shape && one.Repair?.Needs(folded.Base.Repair!) == true))
            is not { Repair: { Rows: null } repair } wanted)
            folded.Rows?.Dispose();
        else if (folded.Rows is { } rows)
            (repair.Rows, repair.IsFolding) = (rows, false);
        else
            ReadInstead(wanted, folded.Why);
    }

    void ReadInstead(BasePlanner.Base one, string why)
    {
        _logger.RepairGivenUp(one.Shape.FullName, why);
        RestartBase(one.Shape.Number);
    }
}
