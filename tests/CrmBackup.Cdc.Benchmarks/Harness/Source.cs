using System.Text;
using CrmBackup.Cdc.EndToEnd;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>A protected database whose vault and slot can be set back to one moment, so that the same backlog is read again and again.</summary>
sealed class Source(Bench bench, string database)
{
    const string SavedSlot = "bench_saved";
    readonly string _home = bench.NewFolder(database);

    public string Database => database;

    public string Connection => bench.Server.ConnectionString(database);

    public string Vault => Path.Combine(_home, "vault");

    string State => Path.Combine(_home, "state");

    /// <summary>The slot's name, once <c>init</c> has made it.</summary>
    public string Slot { get; private set; } = "";

    public string Publication { get; private set; } = "";

    public static async Task<Source> CrmAsync(Bench bench, double scale)
    {
        Bench.Say($"a CRM at scale {scale:0.###}");
        var database = await bench.Server.CreateDatabaseAsync("crm");
        await CrmSample.FillAsync(bench.Server.ConnectionString(database), scale);
        return new Source(bench, database);
    }

    /// <summary>A verb of the program.</summary>
    public Run Start(IReadOnlyDictionary<string, string>? settings, params string[] arguments)
    {
        var environment = new Dictionary<string, string>(settings ?? new Dictionary<string, string>())
        {
            ["CRMBACKUP__STATE"] = State,
            ["CRMBACKUP__SOURCE"] = Connection,
            ["CRMBACKUP__VAULT"] = Vault,
            ["PATH"] = $"{bench.Server.BinDirectory}:{Environment.GetEnvironmentVariable("PATH")}",
        };
        return new Run(environment, bench.Options.Crmbackup, arguments);
    }

    public async Task<double> CrmbackupAsync(params string[] arguments)
    {
        await using var run = Start(null, arguments);
        return await run.EndAsync();
    }

    /// <summary>Prepares the source and the vault.</summary>
    public async Task InitAsync()
    {
        await CrmbackupAsync("init", "--identity", "full", "--yes");
        Slot = (string)(await bench.Server.ExecuteAsync($"SELECT slot_name FROM pg_replication_slots WHERE database = '{database}'"))!;
        Publication = (string)(await bench.Server.ExecuteAsync("SELECT string_agg(pubname, ',') FROM pg_publication", database))!;
    }

    /// <summary>Takes the bases, and saves vault and slot as they are then.</summary>
    public async Task ProtectAsync()
    {
        await InitAsync();
        await using (var run = Start(null, "run"))
        {
            await CrmbackupAsync("wait", "--protected", "--timeout", "600s");
            await run.StopAsync();
        }
        await SaveAsync();
    }

    /// <summary>What <see cref="SetBackAsync"/> comes back to. Nothing runs.</summary>
    public async Task SaveAsync()
    {
        await CopySlotAsync(Slot, SavedSlot);
        foreach (var folder in new[] { Vault, State })
            await bench.ToolAsync("/bin/cp", "-a", folder, folder + ".saved");
    }

    /// <summary>Makes row changes by <c>backlog.sql</c> and a mark after them.</summary>
    /// <returns>Their number.</returns>
    public async Task<long> WorkAsync(int changes, string mark)
    {
        Bench.Say($"{changes:N0} row changes");
        var made = (string)(await bench.FillAsync(database,
            $"SET bench.changes = '{changes}'", Bench.Sql("backlog.sql"), "SELECT current_setting('bench.changes')"))!;
        await bench.Server.ExecuteAsync($"SELECT crmbackup.mark('{mark}')", database);
        await bench.Server.ExecuteAsync("CHECKPOINT", database);
        return long.Parse(made);
    }

    /// <summary>Rows and a hash of every row's text, table by table, as PostgreSQL itself tells.</summary>
    public async Task<string> TruthAsync(string of)
    {
        // So many in one statement that its locks have room.
        const int tablesAtOnce = 500;
        var truth = new StringBuilder();
        for (var first = 0; ; first += tablesAtOnce)
        {
            var tables = await bench.Server.ExecuteAsync(
                "SELECT string_agg(format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)::numeric) FROM %I.%I t', relname, nspname, relname), ' UNION ALL ' ORDER BY relname) "
                + "FROM (SELECT relname, nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = 'public' "
                + $"ORDER BY relname OFFSET {first} LIMIT {tablesAtOnce}) part", of);
            if (tables is not string some)
                return truth.ToString();
            truth.Append((string)(await bench.FillAsync(of, "SET timezone = 'UTC'", $"SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM ({some}) t"))!).Append(' ');
        }
    }

    /// <summary>Vault, state and slot as they were.</summary>
    public async Task SetBackAsync()
    {
        foreach (var folder in new[] { Vault, State })
        {
            Directory.Delete(folder, recursive: true);
            await bench.ToolAsync("/bin/cp", "-a", folder + ".saved", folder);
        }
        await CopySlotAsync(SavedSlot, Slot);
        // What was copied is not written to disk while something is measured.
        await bench.ToolAsync("/bin/sync");
    }

    /// <summary>A slot at the saved position, for another reader.</summary>
    public Task CopySavedSlotAsync(string name) => CopySlotAsync(SavedSlot, name);

    async Task CopySlotAsync(string from, string to)
    {
        await Eventually.TrueAsync(async () => (bool)(await bench.Server.ExecuteAsync(
            $"SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{to}' AND active)"))!, TimeSpan.FromSeconds(30), $"slot {to} to be free");
        await bench.Server.ExecuteAsync(
            $"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{to}'; SELECT pg_copy_logical_replication_slot('{from}', '{to}')", database);
    }

    /// <summary>The process that sends a slot's changes, waited for.</summary>
    public async Task<int> WalSenderAsync(string slot, Run reader)
    {
        while (true)
        {
            if (await bench.Server.ExecuteAsync($"SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{slot}'") is int pid)
                return pid;
            if (reader.HasEnded)
                throw new InvalidOperationException($"{reader} has ended before it read the slot {slot}\n{reader.Said}");
            await Task.Delay(20);
        }
    }
}
