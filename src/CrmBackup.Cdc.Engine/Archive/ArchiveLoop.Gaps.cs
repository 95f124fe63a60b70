using System.Globalization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>The side of the loop that knows gaps: what opens one, what is covered after it, and which bases it makes void.</summary>
public sealed partial class ArchiveLoop
{
    /// <summary>The newest base of a relation that is not to be gone on with: what it read may lack what a gap lost, however young it is.</summary>
    int Voided(int relation)
    {
        var key = $"{Setting.VoidedBase}{relation}";
        return _pending.Settings.TryGetValue(key, out var text) || _vault.State.Settings.TryGetValue(key, out text)
            ? int.Parse(text, CultureInfo.InvariantCulture) : 0;
    }

    /// <summary>In the commit that says why: an interrupted process would go on with it.</summary>
    void VoidBase(int relation)
    {
        var chunks = _vault.State.BaseChunks.Where(chunk => chunk.Relation == relation).ToList();
        if (chunks.Count > 0)
            _pending.Settings[$"{Setting.VoidedBase}{relation}"] = chunks.Max(chunk => chunk.BaseId).ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>Nobody goes on with it; the next listing of the source begins it anew.</summary>
    void GiveUpBase(int relation)
    {
        if (!_bases.IsOpen(relation))
            return;
        VoidBase(relation);
        _bases.End(relation);
    }

    /// <param name="after">Where it was last known; a base that is younger was read before it became unknown.</param>
    void TableGap(RelationShape shape, string why, Lsn after)
    {
        if (!IsCovered(shape.Number))
        {
            // What its base has read so far may be from before.
            GiveUpBase(shape.Number);
            return;
        }
        var based = _vault.State.Bases.Concat(_pending.Bases).Where(one => one.Relation == shape.Number).Select(one => one.From.Lsn).Max();
        var position = _reader!.Position;
        var at = after.IsNone || after > position.Lsn ? position.Lsn : after;
        var gap = new Gap(GapScope.Relation, shape.Number, position with { Lsn = at > based ? at : based }, null, $"{shape.FullName}: {why}", _clock.GetUtcNow());
        _logger.GapOpened(GapScope.Relation, shape.Number, gap.After, gap.Reason);
        _pending.Gaps.Add(gap);
    }

    /// <summary>The stream has passed what capture saw of the catalog. What nobody told is a gap, and the source is listed anew.</summary>
    void JudgeCatalog(CatalogSeen seen)
    {
        if (_catalog!.Judge(seen, (oid, column) => _tables!.Find(oid)?.Columns.FirstOrDefault(one => one.AttNum == column)?.MissingValue is not null)
            is not { } unexplained)
            return;
        var position = _reader!.Position;
        var after = unexplained.After.IsNone || unexplained.After > position.Lsn ? position : position with { Lsn = unexplained.After };
        if (unexplained.Publication is { } damage)
        {
            _logger.GapOpened(GapScope.Database, 0, after, damage);
            _pending.Gaps.Add(new Gap(GapScope.Database, 0, after, null, damage, _clock.GetUtcNow()));
            foreach (var open in _bases.Open.ToList())
                GiveUpBase(open.Shape.Number);
        }
        if (unexplained.Schema)
        {
            _logger.GapOpened(GapScope.Schema, 0, after, unexplained.Reason);
            _pending.Gaps.Add(new Gap(GapScope.Schema, 0, after, null, unexplained.Reason, _clock.GetUtcNow()));
            if (_schema!.Changed(position, described: false, _clock.GetUtcNow()) is { } ended)
                _pending.Schemas.Add(ended with { Until = ended.From.Lsn > after.Lsn ? ended.From : after });
            _pending.Settings[SchemaDesk.LastDdl] = position.Lsn.ToString();
        }
        foreach (var shape in unexplained.Tables.Select(oid => _tables!.Find(oid)).OfType<RelationShape>())
            TableGap(shape, "it was changed without a message of ours", after.Lsn);
        _silent = true;
    }

    /// <summary>True when a whole base stands after the relation's last gap.</summary>
    bool IsCovered(int relation)
    {
        var state = _vault.State;
        var from = state.Bases.Concat(_pending.Bases).Where(one => one.Relation == relation && one.From.Timeline == _reader!.Position.Timeline)
            .Select(one => one.From.Lsn).DefaultIfEmpty().Max();
        return !from.IsNone && from > LastGap(one => one.Scope == GapScope.Database || (one.Scope == GapScope.Relation && one.Relation == relation));
    }

    /// <summary>On the present timeline; its beginning is the gap of those before.</summary>
    Lsn LastGap(Func<Gap, bool> which)
    {
        var timeline = _reader!.Position.Timeline;
        var on = _vault.State.Gaps.Concat(_pending.Gaps).Where(which).ToList();
        var here = on.Where(gap => gap.After.Timeline == timeline).Select(gap => gap.After.Lsn).DefaultIfEmpty().Max();
        return !here.IsNone || !on.Exists(gap => gap.After.Timeline != timeline) ? here : BranchPoint(timeline);
    }

    Lsn BranchPoint(uint timeline)
    {
        var key = Branches.Setting(timeline, 0, null).Key;
        return (_pending.Settings.TryGetValue(key, out var text) || _vault.State.Settings.TryGetValue(key, out text))
            && Lsn.TryParse(text.AsSpan(text.IndexOf(' ', StringComparison.Ordinal) + 1), out var left) ? left : Lsn.None;
    }

    Lsn LastBase(int relation) =>
        _vault.State.Bases.Concat(_pending.Bases).Where(one => one.Relation == relation).Select(one => one.From.Lsn).DefaultIfEmpty().Max();
}
