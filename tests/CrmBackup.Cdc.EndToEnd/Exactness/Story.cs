using System.Text.Json;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.EndToEnd.Oracle;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>One database and one <c>run</c>: what happens in it is told as moments, and each of them must come back row for row, from log
/// segments and again from table segments.</summary>
sealed class Story : IAsyncDisposable
{
    readonly PostgresServer _server;
    readonly ITestOutputHelper _output;
    readonly List<RecordedMoment> _moments = [];

    Story(PostgresServer server, Protected crm, ITestOutputHelper output) => (_server, Crm, _output) = (server, crm, output);

    public Protected Crm { get; }

    /// <param name="before">Stands in the database when the first base is read.</param>
    public static Task<Story> BeginAsync(PostgresServer server, ITestOutputHelper output, params string[] before) => BeginInAsync(server, output, "", before);

    /// <param name="options">Of CREATE DATABASE.</param>
    public static async Task<Story> BeginInAsync(PostgresServer server, ITestOutputHelper output, string options, params string[] before)
    {
        var database = await server.CreateDatabaseAsync("story", options);
        foreach (var script in before)
            await server.ExecuteAsync(script, database);
        var story = new Story(server, await Protected.InitAsync(server, null, database), output);
        try
        {
            story.Crm.Start("--flush", "300ms");
            await story.Crm.ProtectingAsync();
            await story.SchemaStoredAsync();
            return story;
        }
        catch
        {
            await story.DisposeAsync();
            throw;
        }
    }

    /// <summary>Each script in a session of its own, so in one transaction unless it says otherwise; then the state is recorded.</summary>
    public async Task ThenAsync(params string[] scripts)
    {
        foreach (var script in scripts)
            await Crm.ExecuteAsync(script);
        await RecordAsync();
    }

    /// <summary>Nobody writes now.</summary>
    public async Task RecordAsync()
    {
        await Crm.ExecuteAsync($"SELECT crmbackup.mark('moment {_moments.Count}')");
        _moments.Add(await RecordedMoment.OfAsync(_server, Crm.Source, schema: false));
    }

    /// <summary>Until the schema of now is in the vault, so that what was recorded last has an exact one.</summary>
    public async Task SchemaStoredAsync()
    {
        await Crm.WaitAsync();
        await Eventually.TrueAsync(async () =>
        {
            var status = await Crmbackup.RunAsync("status", "--vault", Crm.Vault, "--output", "json");
            return JsonDocument.Parse(status.Output).RootElement.TryGetProperty("schema", out var schema) && !schema.TryGetProperty("until", out _);
        }, TimeSpan.FromSeconds(60), "the schema to be stored");
    }

    /// <summary>Ends the run, and restores every moment: some from log segments, all from table segments.</summary>
    /// <param name="look">At each restored database that equals its moment.</param>
    public async Task MustComeBackAsync(Func<int, string, RestoreReport, Task>? look = null)
    {
        await Crm.WaitAsync(180);
        await Crm.StopAsync();
        await RestoreAllAsync("log segments", look, number => number == _moments.Count - 2);
        (await Crmbackup.RunAsync("settle", "--now", "--vault", Crm.Vault)).MustBe(0);
        await RestoreAllAsync("table segments", look, _ => true);
        (await Crmbackup.RunAsync("verify", "--vault", Crm.Vault)).MustBe(0);
    }

    async Task RestoreAllAsync(string from, Func<int, string, RestoreReport, Task>? look, Func<int, bool> wanted)
    {
        var vault = await BackupVault.OpenAsync(new DirectoryMedium(Crm.Vault), default);
        var wrong = new List<string>();
        await Parallel.ForEachAsync(_moments.Index().Where(moment => wanted(moment.Index)), new ParallelOptions { MaxDegreeOfParallelism = 2 }, async (one, _) =>
        {
            var (number, moment) = one;
            var found = new List<string>();
            var name = $"{Crm.Database}_m{number}";
            try
            {
                var options = new RestoreOptions
                {
                    To = number % 2 == 0 ? new RestoreTarget.AtMark($"moment {number}") : new RestoreTarget.AtLsn(Lsn.Parse(moment.Lsn)),
                    Target = _server.ConnectionString(name),
                    Verify = true,
                };
                var report = await new Restorer(vault, TimeProvider.System, NullLogger.Instance).RunAsync(options, null, default);
                var restored = await RecordedMoment.OfAsync(_server, options.Target, schema: false);
                var next = number + 1 < _moments.Count ? _moments[number + 1] : null;
                // Of a schema that is said to be of another moment the types may differ, of rows not a character.
                var typed = !report.Fidelity.Any(line => line.What == "schema" && line.Fidelity != Fidelity.Exact);
                var differences = (typed ? moment : moment.Untyped).DifferencesOf(typed ? restored : restored.Untyped, next).ToList();
                if (report.Verified != true)
                    differences.Add("the restore's own proof failed");
                found.AddRange(differences.Select(difference => $"moment {number} from {from}: {difference}"));
                if (differences.Count == 0 && look is not null)
                    await look(number, options.Target, report);
            }
            catch (BackupException failure)
            {
                found.Add($"moment {number} from {from}: {failure.Message}");
            }
            finally
            {
                await DropAsync(name);
            }
            lock (wrong)
                wrong.AddRange(found);
        });
        _output.WriteLine($"{_moments.Count} moments, {_moments.Sum(moment => moment.Rows)} rows from {from}: {wrong.Count} differences");
        Assert.True(wrong.Count == 0, string.Join('\n', wrong.Take(12)));
    }

    async Task DropAsync(string name)
    {
        await DropSubscriptionAsync(name);
        await _server.ExecuteAsync($"DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
    }

    /// <summary>A database that has one cannot be dropped.</summary>
    async Task DropSubscriptionAsync(string name)
    {
        if (await _server.ExecuteAsync($"SELECT subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = '{name}'") is string subscription)
            await _server.ExecuteAsync($"SET crm.may = 'yes'; DROP SUBSCRIPTION {subscription}", name);
    }

    public async ValueTask DisposeAsync()
    {
        await DropSubscriptionAsync(Crm.Database);
        await Crm.DisposeAsync();
    }
}
