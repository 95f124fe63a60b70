using System.Text;
using DotNet.Testcontainers.Containers;
using Testcontainers.RabbitMq;

namespace CrmBackup.Cdc.EndToEnd;

sealed class ContainerRabbit : RabbitServer
{
    readonly RabbitMqContainer _container;

    public ContainerRabbit(IReadOnlyDictionary<string, string> settings)
    {
        var lines = string.Concat(settings.Select(line => $"{line.Key} = {line.Value}\n"));
        _container = new RabbitMqBuilder("rabbitmq:4")
            .WithUsername("crmbackup")
            .WithPassword(Password)
            .WithHostname("crmbackup")
            .WithPortBinding(Port, 5672)
            .WithCreateParameterModifier(Containers.OnLoopback)
            .WithResourceMapping(Encoding.UTF8.GetBytes(lines), "/etc/rabbitmq/conf.d/50-tests.conf")
            .Build();
    }

    public override async Task StartAgainAsync()
    {
        await _container.StartAsync();
        await AnswersAsync(() => _container.State == TestcontainersStates.Running);
    }

    public override Task KillAsync() => Containers.KillAsync(_container);

    public override Task StopAsync() => _container.StopAsync();

    public override Task<string> LogTailAsync() => Containers.LogTailAsync(_container);

    public override ValueTask DisposeAsync() => _container.DisposeAsync();
}
