namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Six clients at once: four on the CRM sample's scripts, two on pgbench's own tables. They work until stopped.</summary>
sealed class Clients : IAsyncDisposable
{
    static readonly TimeSpan _shift = TimeSpan.FromSeconds(3);
    readonly CancellationTokenSource _stop = new();
    readonly Task _work;
    readonly bool _patient;

    Clients(Protected crm, PostgresServer server, bool patient)
    {
        _patient = patient;
        _work = Task.WhenAll(
            RepeatAsync(async () =>
            {
                await using var workload = CrmWorkload.Start(server, crm.Database, _shift, clients: 4, perSecond: 150);
                await workload.FinishAsync();
            }),
            RepeatAsync(() => crm.PgbenchAsync(
                "-n", "-c", "2", "-j", "1", "-T", $"{_shift.TotalSeconds}", "-R", "150", "--max-tries", "20", "-b", "tpcb-like")));
    }

    /// <param name="patient">The server is ended under them: who lost a connection comes again.</param>
    public static async Task<Clients> StartAsync(Protected crm, PostgresServer server, bool patient = false)
    {
        // A fifth of pgbench's accounts: they are restored and compared dozens of times. Who draws another one finds no row.
        await crm.PgbenchAsync("-i", "-q", "-I", "dtp");
        await crm.ExecuteAsync("""
            INSERT INTO pgbench_branches SELECT 1, 0; INSERT INTO pgbench_tellers SELECT i, 1, 0 FROM generate_series(1, 10) i;
            INSERT INTO pgbench_accounts SELECT i, 1, 0, repeat(' ', 84) FROM generate_series(1, 20000) i
            """);
        return new Clients(crm, server, patient);
    }

    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _work;
    }

    async Task RepeatAsync(Func<Task> shift)
    {
        while (!_stop.IsCancellationRequested)
            try
            {
                await shift();
            }
            catch (InvalidOperationException) when (_patient)
            {
                await Task.Delay(100);
            }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAny(_work);
        _stop.Dispose();
    }
}
