using System.Globalization;
using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The analysts' views: a script for DuckDB over the explicit list of live segments, complete up to the settled watermark.
/// Per table: a view of its newest settled state, table macros of its state at a time or position, and its history.</summary>
public sealed class SqlViews
{
    readonly VaultState _state;
    readonly SettledTimes _times;
    readonly StringBuilder _sql = new();
    readonly HashSet<string> _names = new(StringComparer.OrdinalIgnoreCase);

    SqlViews(VaultState state, SettledTimes times) => (_state, _times) = (state, times);

    /// <param name="vault">Where DuckDB finds the vault: a folder, or any address that it can read from.</param>
    public static string Text(BackupVault vault, string location, CancellationToken stop) =>
        new SqlViews(vault.State, SettledTimes.Read(vault.Medium, vault.State, stop)).Write(location);

    /// <summary>Puts the text beside the vault's data, under the number of its newest commit.</summary>
    public static async Task WriteAsync(BackupVault vault, CancellationToken stop)
    {
        var text = Text(vault, vault.Medium.Location, stop);
        await ViewsFile.WriteAsync(vault.Medium, vault.State.Head, text, stop);
    }

    string Write(string location)
    {
        Head(location);
        var coverage = Coverage.Of(_state).Relations;
        var named = coverage.GroupBy(relation => relation.Name).OrderBy(group => group.Key, StringComparer.Ordinal);
        foreach (var group in named)
            Table(group.Key, [.. group.OrderBy(relation => relation.Live).ThenBy(relation => relation.Relation)]);
        return _sql.ToString();
    }

    void Head(string location)
    {
        var settled = new Position(_state.CoveredTo?.Position.Timeline ?? 0, _state.SettledTo);
        var time = _times.Settled is { } known ? $" ({known})" : "";
        Line($"-- CrmBackup.Cdc: views for DuckDB over commit {_state.Head}. Complete up to {settled.Lsn}{time}; what came later is not in them.");
        Line("-- A time needs its zone; what lies outside of what is known is an error, never a short answer.");
        Line($"SET VARIABLE vault = {DuckText.Literal(location)};");
        Line("CREATE SCHEMA IF NOT EXISTS crmbackup;");
        Line("CREATE OR REPLACE MACRO crmbackup.lsn(text) AS CAST('0x' || split_part(text, '/', 1) AS BIGINT) * 4294967296 + CAST('0x' || split_part(text, '/', 2) AS BIGINT);");
        Line("CREATE OR REPLACE MACRO crmbackup.lsn_text(p) AS printf('%X/%X', p >> 32, p & 4294967295);");
        Line($"CREATE OR REPLACE VIEW crmbackup.settled AS SELECT '{settled.Lsn}' AS lsn, {Time(_times.Settled)} AS time, {_state.Head} AS commit;");
        var changes = _state.Segments.Values.Where(segment => segment.Kind == SegmentKind.Changes && segment.Rows > 0 && OnTimeline(segment))
            .OrderBy(segment => segment.First).ToList();
        Line("CREATE OR REPLACE VIEW crmbackup.transactions AS "
            + (changes.Count == 0
                ? "SELECT 0::BIGINT AS _commit_lsn, NULL::TIMESTAMPTZ AS _commit_time, 0::BIGINT AS _xid WHERE false;"
                : $"SELECT DISTINCT _commit_lsn, _commit_time, _xid FROM {DuckText.Files(changes)};"));
        Line("-- Recovery's rule: stop before the first commit, in the order of positions, that is later.");
        Line($"CREATE OR REPLACE MACRO crmbackup.position_at(t) AS (SELECT coalesce(min(_commit_lsn) - 1, {_state.SettledTo.Value}) FROM crmbackup.transactions WHERE _commit_time > t);");
    }

    /// <param name="relations">Those whose newest name this is: a table, and those dropped before it.</param>
    void Table(string fullName, List<RelationCoverage> relations)
    {
        // Of several, each counts only while it bore the name: a table that was made beside and renamed has two pasts.
        var spans = relations.SelectMany(relation => RelationSpan.Of(_state, relation))
            .Where(span => relations.Count == 1 || span.Plan.Shape.FullName == fullName).OrderBy(span => span.Low).ToList();
        var newest = _state.Relations.FindLast(shape => shape.Number == relations[^1].Relation)!;
        var name = FreeName(newest);
        Line($"CREATE SCHEMA IF NOT EXISTS {DuckText.Name(newest.Schema)};");
        for (var i = 0; i < spans.Count; i++)
            Line($"CREATE OR REPLACE MACRO {Span(newest, i)}(p) AS TABLE\n{FoldText.Of(spans[i].Plan)};");
        var (table, at, asOf, history) = name;
        if (relations[^1].Live)
            Line($"CREATE OR REPLACE VIEW {table} AS " + (spans.Count > 0 && spans[^1].High == _state.SettledTo
                ? $"FROM {Span(newest, spans.Count - 1)}({_state.SettledTo.Value});"
                : $"SELECT error({DuckText.Literal($"{newest.FullName} is not covered at {_state.SettledTo}")}) AS error;"));
        Line($"CREATE OR REPLACE MACRO {at}(lsn) AS TABLE FROM query({AtPosition(newest, spans)});");
        Line($"CREATE OR REPLACE MACRO {asOf}(t) AS TABLE FROM query({AsOf(newest, spans)});");
        if (HistoryText.Of(_state, relations.Select(relation => relation.Relation)) is { } events)
            Line($"CREATE OR REPLACE VIEW {history} AS\n{events};");
    }

    string AtPosition(RelationShape shape, List<RelationSpan> spans)
    {
        const string P = "CASE WHEN typeof(lsn) = 'VARCHAR' THEN crmbackup.lsn(CAST(lsn AS VARCHAR)) ELSE TRY_CAST(lsn AS BIGINT) END";
        var cases = new StringBuilder("CASE");
        cases.Append(CultureInfo.InvariantCulture, $" WHEN {P} > {_state.SettledTo.Value} THEN error('asked beyond what is settled ({_state.SettledTo}): run crmbackup settle, then print the views anew')");
        for (var i = 0; i < spans.Count; i++)
            cases.Append(CultureInfo.InvariantCulture, $" WHEN {P} BETWEEN {spans[i].Low.Value} AND {spans[i].High.Value} THEN 'FROM {Inner(Span(shape, i))}(' || {P} || ')'");
        return cases.Append(CultureInfo.InvariantCulture, $" ELSE error({NotCovered(shape)}) END").ToString();
    }

    /// <summary>The columns depend on the time, so the run is chosen when the query is bound: a position is reached at a time when every
    /// commit up to it is not later.</summary>
    string AsOf(RelationShape shape, List<RelationSpan> spans)
    {
        var cases = new StringBuilder("CASE WHEN typeof(t) = 'TIMESTAMP' OR typeof(t) = 'VARCHAR' AND NOT regexp_matches(CAST(t AS VARCHAR), '([+-][0-9]{2}(:?[0-9]{2})?|Z)$') "
            + "THEN error('give the time with its zone, for example ''2026-11-22 10:00:00+00''')");
        cases.Append(CultureInfo.InvariantCulture, $" WHEN CAST(t AS TIMESTAMPTZ) > {Time(_times.Settled)} OR {Time(_times.Settled)} IS NULL THEN error('asked beyond what is settled ({_times.Settled}): run crmbackup settle, then print the views anew')");
        for (var i = spans.Count - 1; i >= 0; i--)
        {
            if (i == spans.Count - 1 || spans[i + 1].Low.Value != spans[i].High.Value + 1)
                if (spans[i].High < _state.SettledTo)
                    cases.Append(CultureInfo.InvariantCulture, $" WHEN CAST(t AS TIMESTAMPTZ) >= {Time(_times.Reached(new Lsn(spans[i].High.Value + 1)))} THEN error({NotCovered(shape)})");
            cases.Append(CultureInfo.InvariantCulture, $" WHEN CAST(t AS TIMESTAMPTZ) >= {Time(_times.Reached(spans[i].Low, spans[i].FromTime))} ")
                .Append(CultureInfo.InvariantCulture, $"THEN 'FROM {Inner(Span(shape, i))}(crmbackup.position_at(TIMESTAMPTZ ''' || CAST(t AS TIMESTAMPTZ) || '''))'");
        }
        return cases.Append(CultureInfo.InvariantCulture, $" ELSE error({NotCovered(shape)}) END").ToString();
    }

    static string NotCovered(RelationShape shape) => DuckText.Literal($"{shape.FullName} is not known there: no base before, or a gap");

    /// <summary>Relations that bear a name one after the other have distinct columns: each run stands alone.</summary>
    static string Span(RelationShape newest, int run) => DuckText.Name(string.Create(CultureInfo.InvariantCulture, $"crmbackup")) + "."
        + DuckText.Name(string.Create(CultureInfo.InvariantCulture, $"r{newest.Number:D6}_{run}"));

    static string Inner(string text) => text.Replace("'", "''", StringComparison.Ordinal);

    (string Table, string At, string AsOf, string History) FreeName(RelationShape shape)
    {
        var name = shape.Name;
        string Full(string suffix) => $"{shape.Schema}.{name}{suffix}";
        while (!(_names.Add(Full("")) & _names.Add(Full("_at")) & _names.Add(Full("_as_of")) & _names.Add(Full("_history"))))
            name += string.Create(CultureInfo.InvariantCulture, $"_{shape.Number}");
        string Quoted(string suffix) => $"{DuckText.Name(shape.Schema)}.{DuckText.Name(name + suffix)}";
        return (Quoted(""), Quoted("_at"), Quoted("_as_of"), Quoted("_history"));
    }

    bool OnTimeline(SegmentEntry segment) => segment.Timeline == 0 || segment.Timeline == _state.CoveredTo?.Position.Timeline;

    static string Time(SourceTime? time) => time is { } known ? $"TIMESTAMPTZ '{known}'" : "CAST(NULL AS TIMESTAMPTZ)";

    void Line(string line) => _sql.Append(line).Append('\n');
}
