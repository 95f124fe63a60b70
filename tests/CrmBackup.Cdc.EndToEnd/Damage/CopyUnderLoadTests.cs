using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Copies of a vault that is being written, made with what every system has.</summary>
[Collection("damage")]
public sealed class CopyUnderLoadTests(PostgresFixture postgres) : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("crmbackup-copy-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_copy_made_under_load_opens_at_its_newest_whole_commit_and_a_second_pass_catches_up()
    {
        var database = await postgres.Server.CreateDatabaseAsync("copied");
        await postgres.Server.ExecuteAsync("CREATE TABLE counted (id bigint PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())", database);
        await using var crm = await Protected.InitAsync(postgres.Server, null, database);
        crm.Start("--flush", "200ms");
        await crm.ProtectingAsync();
        using var enough = new CancellationTokenSource();
        var load = Task.Run(async () =>
        {
            for (var i = 0; !enough.IsCancellationRequested; i++)
            {
                await crm.ExecuteAsync($"INSERT INTO counted VALUES ({i})");
                await Task.Delay(20);
            }
        });
        await Task.Delay(1500);
        var (copy, second) = (Path.Combine(_folder, "copy"), Path.Combine(_folder, "second"));
        // The worst order: segments first, and the commits that name younger ones a while later.
        Directory.CreateDirectory(copy);
        await Shell.RunAsync($"cd '{crm.Vault}'; cp -a vault.json log schema '{copy}'; [ ! -d tables ] || cp -a tables '{copy}'; sleep 2; cp -a commits '{copy}'; [ ! -d checkpoints ] || cp -a checkpoints '{copy}'; mkdir '{copy}/tmp'");
        await Shell.RunAsync($"cp -a '{crm.Vault}' '{second}'");

        var verified = await Crmbackup.RunAsync("verify", "--vault", copy);
        Assert.Equal(4, verified.ExitCode);
        Assert.Contains("everything up to commit", verified.Output);
        var first = await TrueState.OfAsync(await crm.RestoreFromAsync(copy, "latest", "--verify"));
        Assert.InRange(int.Parse(first.Tables["public.counted"].Split(' ')[0]), 1, int.MaxValue);
        await TrueState.OfAsync(await crm.RestoreFromAsync(second, "latest", "--verify"));

        await enough.CancelAsync();
        await load;
        await crm.WaitAsync();
        var state = await TrueState.OfAsync(crm.Source);
        foreach (var one in new[] { copy, second })
        {
            // As rsync does: what is there already stays as it is.
            await Shell.RunAsync($"cp -au '{crm.Vault}/.' '{one}'");
            (await Crmbackup.RunAsync("verify", "--vault", one)).MustBe(0);
            var restored = await TrueState.OfAsync(await crm.RestoreFromAsync(one, "latest"));
            Assert.Empty(restored.DifferencesFrom(state));
        }
        await crm.StopAsync();
    }
}
