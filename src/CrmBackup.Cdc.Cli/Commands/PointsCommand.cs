using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Cli;

sealed class PointsCommand : Verb
{
    readonly Option<string> _around = new("--around")
    {
        HelpName = "time|lsn",
        Description = "List the transactions around that moment, the biggest first: how one finds the disaster",
    };
    readonly Option<string> _table = new("--table") { HelpName = "schema.table", Description = "Only what changed this table" };
    readonly Option<long> _minRows = new("--min-rows")
    {
        HelpName = "n",
        Description = "Only transactions that changed so many rows (TRUNCATE, DROP, ALTER TABLE always)",
        DefaultValueFactory = _ => 1,
    };
    readonly Option<int> _limit = new("--limit") { HelpName = "n", Description = "How many at the most", DefaultValueFactory = _ => 20 };
    readonly Option<TimeSpan?> _within = DurationOption.New("--within", "How far before and after", "5min");

    public PointsCommand()
        : base("points", "To which moments one can restore: coverage and marks; or what happened around a moment")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(_around);
        Options.Add(_table);
        Options.Add(_minRows);
        Options.Add(_limit);
        Options.Add(_within);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup points --vault /backup/crm",
        "crmbackup points --vault /backup/crm --around \"2026-11-22 10:00:00+00\" --min-rows 1000",
        "crmbackup points --vault /backup/crm --around 0/1A2B3C4 --table public.accounts",
    ];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        if (invocation.Get(_around) is not { } around)
        {
            foreach (var option in new Option[] { _table, _minRows, _limit, _within })
                if (invocation.Has(option))
                    throw new UsageException($"{option.Name} goes with --around", "Say around which moment: --around \"2026-11-22 10:00:00+00\".");
            var vault = await invocation.OpenVaultAsync(stop);
            var report = PointsReport.Of(vault);
            invocation.Answer(report, output => Write(report, output));
            return (int)ExitCode.Done;
        }
        await SearchAsync(invocation, Asked(invocation, around), stop);
        return (int)ExitCode.Done;
    }

    SearchOptions Asked(Invocation invocation, string around)
    {
        if (invocation.Get(_limit) < 1 || invocation.Get(_minRows) < 0)
            throw new UsageException("--limit is at least 1 and --min-rows at least 0", "Leave them out for 20 and 1.");
        var target = Lsn.TryParse(around.Trim(), out var bare)
            ? new RestoreTarget.AtLsn(bare) : RestoreTarget.Parse(around, TimeZoneInfo.Local);
        if (target is not (RestoreTarget.AtLsn or RestoreTarget.AtTime))
            throw new UsageException(
                $"--around takes a time or an LSN, not {target}", "For example --around \"2026-11-22 10:00:00+00\" or --around 0/1A2B3C4.");
        return new SearchOptions
        {
            Around = (target as RestoreTarget.AtTime)?.Time,
            AroundLsn = (target as RestoreTarget.AtLsn)?.Lsn,
            Within = invocation.Get(_within) ?? new SearchOptions().Within,
            Table = invocation.Get(_table),
            MinRows = invocation.Get(_minRows),
            Limit = invocation.Get(_limit),
        };
    }

    static async Task SearchAsync(Invocation invocation, SearchOptions options, CancellationToken stop)
    {
        var vault = await invocation.OpenVaultAsync(stop);
        var found = new TransactionSearch(vault).Find(options, stop);
        invocation.Answer(found, output => Write(found, output));
    }

    static void Write(SearchResult found, TextWriter output)
    {
        output.WriteLine($"{found.From} to {found.To}, the biggest first:");
        if (found.Transactions.Count == 0)
            output.WriteLine("  no such transaction");
        var lines = new Columns("  ");
        foreach (var one in found.Transactions)
        {
            lines.Add(one.CommitTime.ToString(), $"lsn:{one.Lsn}", $"xid:{one.Xid}", Words.Of(one.Rows, "row"), string.Join(", ", What(one)));
        }
        lines.Write(output);
        if (found.Omitted > 0)
            output.WriteLine($"  and {Words.Count(found.Omitted)} smaller ones (--limit, --min-rows)");
        if (found.Transactions.Count > 0)
            output.WriteLine($"The state just before the first: restore --to lsn:{found.Transactions[0].Lsn} --before");
    }

    static IEnumerable<string> What(TransactionSummary one)
    {
        foreach (var command in one.Commands)
            yield return command;
        foreach (var table in one.Tables)
        {
            if (table.Truncated)
                yield return $"{table.Table} TRUNCATED";
            if (table.Rewritten)
                yield return $"{table.Table} rewritten";
            if (table.Rows > 0)
                yield return $"{table.Table} " + string.Join(" ", Parts(table));
        }
        foreach (var mark in one.Marks)
            yield return $"mark {mark}";
    }

    static IEnumerable<string> Parts(TableChanges table)
    {
        if (table.Deleted > 0)
            yield return $"-{Words.Count(table.Deleted)}";
        if (table.Inserted > 0)
            yield return $"+{Words.Count(table.Inserted)}";
        if (table.Updated > 0)
            yield return $"~{Words.Count(table.Updated)}";
    }

    static void Write(PointsReport report, TextWriter output)
    {
        output.WriteLine(report.Coverage.Count == 0
            ? $"Nothing of {report.Database} can be restored yet: the first base is not complete."
            : $"{report.Database} can be restored to every moment of");
        foreach (var range in report.Coverage)
        {
            output.WriteLine($"  {Edge(range.From)}  to  {Edge(range.To)}{(range.Timeline == 1 ? "" : $"  on timeline {range.Timeline}")}");
        }
        foreach (var table in report.Tables.Where(table => !table.Current && table.Coverage.Count > 0))
            output.WriteLine($"  {table.Table} alone: " + string.Join(", ", table.Coverage.Select(range => $"{Edge(range.From)} to {Edge(range.To)}")));
        if (report.Marks.Count > 0)
        {
            output.WriteLine("Marks:");
            var lines = new Columns("  ");
            foreach (var mark in report.Marks)
                lines.Add($"mark:{mark.Name}", mark.Time.ToString(), $"lsn:{mark.Lsn}",
                    (mark.Before ? "the state before its transaction" : "") + (mark.Restorable ? "" : " outside coverage"));
            lines.Write(output);
        }
        if (report.Reduced.Count > 0)
            output.WriteLine("Missing, or not exact:");
        foreach (var reduced in report.Reduced)
            output.WriteLine($"  {reduced}");
    }

    static string Edge(Edge edge) => edge.Time is { } time ? $"{time} (lsn:{edge.Lsn})" : $"lsn:{edge.Lsn}";
}
