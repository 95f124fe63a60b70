using System.Text;
using DotNet.Testcontainers.Containers;
using Testcontainers.RabbitMq;

namespace CrmBackup.Cdc.EndToEnd;

sealed class ContainerRabbit : RabbitServer
{
    const string LoadedFrom = "/etc/rabbitmq/definitions.json";
    readonly RabbitMqContainer _container;

    public ContainerRabbit(IReadOnlyDictionary<string, string> settings, string? definitions)
    {
        var lines = string.Concat(settings.Select(line => $"{line.Key} = {line.Value}\n"));
        if (definitions is not null)
            lines += $"load_definitions = {LoadedFrom}\n";
        var builder = new RabbitMqBuilder("rabbitmq:4")
            .WithUsername("crmbackup")
            .WithPassword(Password)
            .WithHostname("crmbackup")
            .WithPortBinding(Port, 5672)
            .WithCreateParameterModifier(Containers.OnLoopback)
            .WithResourceMapping(Encoding.UTF8.GetBytes(lines), "/etc/rabbitmq/conf.d/50-tests.conf");
        if (definitions is not null)
            builder = builder.WithResourceMapping(File.ReadAllBytes(definitions), LoadedFrom);
        _container = builder.Build();
    }

    public override async Task StartAgainAsync()
    {
        await _container.StartAsync();
        await AnswersAsync(() => _container.State == TestcontainersStates.Running);
    }

    public override Task KillAsync() => Containers.KillAsync(_container);

    public override Task FreezeAsync() => _container.PauseAsync();

    public override Task ThawAsync() => _container.UnpauseAsync();

    public override Task StopAsync() => _container.StopAsync();

    public override Task<string> LogTailAsync() => Containers.LogTailAsync(_container);

    public override ValueTask DisposeAsync() => _container.DisposeAsync();
}
