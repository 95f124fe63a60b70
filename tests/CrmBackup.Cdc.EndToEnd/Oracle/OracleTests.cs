using System.Text.Json;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Oracle;

/// <summary>The randomized oracle: sessions that do to a database whatever a CRM might, its true state recorded at random moments, each of
/// them restored and compared row for row, and its schema as pg_dump tells it. A seed in <c>CRMBACKUP_TESTS_SEED</c> repeats a run, but for what concurrency decides.</summary>
[Collection("servers")]
public sealed class OracleTests(PostgresFixture postgres, RabbitFixture rabbit, ITestOutputHelper output)
{
    const int Sessions = 4;

    static int Points => Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_POINTS") is { Length: > 0 } points ? int.Parse(points)
        : Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_FULL") is { Length: > 0 } ? 100 : 20;

    [Theory]
    [InlineData(Transport.Embedded, false)]
    [InlineData(Transport.Broker, true)]
    public async Task Whatever_the_database_does_each_recorded_moment_is_restored_exactly(Transport transport, bool gaps)
    {
        var seed = Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_SEED") is { Length: > 0 } given
            ? int.Parse(given) : Random.Shared.Next(1_000_000);
        output.WriteLine($"seed {seed}, {transport}");
        var database = await postgres.Server.CreateDatabaseAsync("oracle");
        await postgres.Server.ExecuteAsync("""
            CREATE SCHEMA other; CREATE TYPE mood AS ENUM ('mood 1', 'mood 2', 'mood 3'); CREATE TYPE pair AS (x integer, y text);
            CREATE DOMAIN positive AS integer CHECK (VALUE > 0)
            """, database);
        var before = new RandomDdl(new Random(seed), gaps: false);
        for (var i = 0; i < 6; i++)
            await postgres.Server.ExecuteAsync($"{(i == 0 ? "CREATE TABLE t (id integer PRIMARY KEY, doc text)" : before.Create([new KnownTable("t", 'r', false, true, [], [])]))}", database);
        await using var crm = await Protected.InitAsync(postgres.Server, transport == Transport.Broker ? rabbit.Server : null, database);
        var sessions = new List<RandomSession>();
        try
        {
            for (var number = 0; number < Sessions; number++)
                sessions.Add(await RandomSession.StartAsync(crm.Source, seed, number, gaps));
            crm.Start("--flush", "300ms");
            await FirstBaseAsync(crm);
            var moments = await RecordAsync(crm, sessions, new Random(seed));
            foreach (var session in sessions)
                await session.StopAsync();
            await crm.WaitAsync();
            output.WriteLine($"{sessions.Sum(session => session.Committed)} transactions, {sessions.Sum(session => session.Refused)} refused, "
                + $"{sessions.Sum(session => session.SchemaChanges)} schema changes");
            await crm.StopAsync();
            await CompareAsync(crm, transport, moments, new Random(seed), seed);
        }
        finally
        {
            foreach (var session in sessions)
                await session.DisposeAsync();
        }
    }

    /// <summary>Until any moment is covered; with the schema always on the move, no other sign of it would come.</summary>
    static Task FirstBaseAsync(Protected crm) => Eventually.TrueAsync(async () =>
    {
        foreach (var (verb, process) in crm.Processes)
            if (process.HasEnded)
                throw new InvalidOperationException($"crmbackup {verb} ended\n{crm.Logs}");
        var points = await Crmbackup.RunAsync("points", "--vault", crm.Vault, "--output", "json");
        return points.ExitCode == 0 && JsonDocument.Parse(points.Output).RootElement.GetProperty("coverage").GetArrayLength() > 0;
    }, TimeSpan.FromSeconds(90), "the first base");

    async Task<List<RecordedMoment>> RecordAsync(Protected crm, List<RandomSession> sessions, Random random)
    {
        var moments = new List<RecordedMoment>();
        while (moments.Count < Points)
        {
            await Task.Delay(random.Next(200, 1500));
            foreach (var session in sessions)
                await session.PauseAsync();
            try
            {
                await crm.ExecuteAsync($"SELECT crmbackup.mark('moment {moments.Count}')");
                moments.Add(await RecordedMoment.OfAsync(postgres.Server, crm.Source));
            }
            finally
            {
                foreach (var session in sessions)
                    session.Resume();
            }
        }
        return moments;
    }

    async Task CompareAsync(Protected crm, Transport transport, List<RecordedMoment> moments, Random random, int seed)
    {
        int equal = 0, refused = 0, schemas = 0;
        var wrong = new List<string>();
        foreach (var (number, moment) in moments.Index())
        {
            if (number == moments.Count / 2)
            {
                // The second half from typed segments.
                crm.Start();
                if (transport == Transport.Broker)
                    crm.StartVerb("worker");
                await crm.WaitAsync();
                (await Crmbackup.RunAsync("settle", "--now", "--vault", crm.Vault)).MustBe(0);
                await crm.StopAsync();
            }
            var target = random.Next(3) switch
            {
                0 => $"lsn:{moment.Lsn}",
                1 => moment.Time.ToString("yyyy-MM-dd HH:mm:ss.ffffffzzz"),
                _ => $"mark:moment {number}",
            };
            var name = $"{crm.Database}_o{number}";
            var result = await Crmbackup.RunAsync("restore", "--vault", crm.Vault, "--to", target, "--target",
                postgres.Server.ConnectionString(name), "--output", "json");
            if (result.ExitCode == 3)
            {
                refused++;
                output.WriteLine($"{target} refused: {result.Errors}");
                continue;
            }
            var exact = SaidExact(result);
            // A schema of another moment, and said to be: its constraints need not fit. The rows must.
            if (result.ExitCode != 0 && (result.ExitCode != 1 || exact || !result.Output.Contains("\"violations\":[{", StringComparison.Ordinal)))
            {
                wrong.Add($"{target}: restore ended with {result.ExitCode}: {result.Errors} {result.Output}");
                continue;
            }
            if (!exact)
                output.WriteLine($"{target}: schema approximate: {result.Output[result.Output.IndexOf("\"fidelity\":", StringComparison.Ordinal)..]}");
            var restored = await RecordedMoment.OfAsync(postgres.Server, postgres.Server.ConnectionString(name));
            // In a schema of another moment, what does not fit a type is text, and the report names it.
            var typed = exact || !result.Output.Contains("text instead of a type of another moment", StringComparison.Ordinal);
            var differences = (typed ? moment : moment.Untyped)
                .DifferencesOf(typed ? restored : restored.Untyped, number + 1 < moments.Count ? moments[number + 1] : null).ToList();
            if (exact && ++schemas > 0 && moment.Schema != restored.Schema)
                differences.Add("schema: " + string.Join("\n", moment.Schema.Split("\n;\n").Except(restored.Schema.Split("\n;\n")).Select(one => "  recorded " + one)
                    .Concat(restored.Schema.Split("\n;\n").Except(moment.Schema.Split("\n;\n")).Select(one => "  restored " + one)).Take(6)));
            if (differences.Count == 0)
                equal++;
            else
                wrong.Add($"{target}: {string.Join("\n  ", differences)}");
            await postgres.Server.ExecuteAsync($"DROP DATABASE \"{name}\" WITH (FORCE)");
        }
        var covered = moments.Count - refused;
        if (schemas < covered)
            output.WriteLine("gaps of the schema: " + string.Join("; ", JsonDocument.Parse((await Crmbackup.RunAsync("status", "--vault", crm.Vault, "--output", "json")).Output)
                .RootElement.GetProperty("gaps").EnumerateArray().Where(gap => gap.GetProperty("scope").GetString() == "schema")
                .Select(gap => $"{gap.GetProperty("after")} {gap.GetProperty("reason")}").Distinct().Take(20)));
        output.WriteLine($"oracle seed {seed} {transport}: {equal} points equal ({moments.Sum(moment => moment.Rows)} rows, {schemas} schemas said exact), "
            + $"{refused} refused, {wrong.Count} wrong");
        // A vault that cannot restore exactly is worth more than the message.
        if (wrong.Count > 0 && Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_KEEP") is { Length: > 0 } folder)
            foreach (var file in Directory.EnumerateFiles(crm.Vault, "*", SearchOption.AllDirectories))
                Copy(file, Path.Combine(folder, $"oracle-{seed}", Path.GetRelativePath(crm.Vault, file)));
        Assert.True(wrong.Count == 0, $"seed {seed}\n" + string.Join('\n', wrong.Take(8)) + "\n" + crm.Vault);
        // What was not described (a lock of another session) is a gap until a dump fits between two commands, which takes long where nobody ever pauses:
        // one or two of those are all that half of the moments allow.
        Assert.True(schemas >= covered / 2, $"seed {seed}: only {schemas} schemas of {covered} were said to be exact");
        Assert.True(equal > moments.Count / 4, $"seed {seed}: only {equal} of {moments.Count} moments were covered");
    }

    static bool SaidExact(Crmbackup.Result result) => result.ExitCode is 0 or 1 && result.Output.StartsWith('{')
        && JsonDocument.Parse(result.Output).RootElement.GetProperty("fidelity").EnumerateArray().Any(line =>
            line.GetProperty("what").GetString()!.StartsWith("schema, ", StringComparison.Ordinal) && line.GetProperty("fidelity").GetString() == "exact");

    static void Copy(string from, string to)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(to)!);
        File.Copy(from, to, overwrite: true);
    }
}
