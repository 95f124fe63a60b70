using System.Runtime.ExceptionServices;
using CrmBackup.Cdc.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace CrmBackup.Cdc.Cli;

/// <summary>Loops that work until they are stopped, as hosted services of one host. When one fails, all are stopped and its error is the verb's.</summary>
sealed class LongRunning(Invocation invocation)
{
    readonly List<IHostedService> _services = [];
    readonly List<Loop> _loops = [];

    /// <summary>Stopped in the opposite order.</summary>
    public LongRunning Add(Func<CancellationToken, Task> loop)
    {
        var service = new Loop(loop);
        _loops.Add(service);
        _services.Add(service);
        return this;
    }

    public LongRunning Add(IHostedService service)
    {
        _services.Add(service);
        return this;
    }

    /// <returns>0 when it was stopped; also when a loop came to its end.</returns>
    public async Task<int> RunAsync(CancellationToken stop)
    {
        // No defaults: they would read appsettings.json of the current folder.
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Services.AddSingleton(invocation.Logging);
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        // A flush of 32 MiB to a slow disk, and the end of a base chunk.
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(60));
        foreach (var service in _services)
            builder.Services.AddSingleton(service);
        using var host = builder.Build();
        var lifetime = host.Services.GetRequiredService<IHostApplicationLifetime>();
        foreach (var loop in _loops)
            loop.Ended = lifetime.StopApplication;
        await host.RunAsync(stop);
        foreach (var loop in _loops)
            if (loop.Failure is { } failure)
                ExceptionDispatchInfo.Throw(failure);
        return (int)ExitCode.Done;
    }

    sealed class Loop(Func<CancellationToken, Task> loop) : BackgroundService
    {
        public Exception? Failure { get; private set; }

        public Action? Ended { get; set; }

        protected override async Task ExecuteAsync(CancellationToken stoppingToken)
        {
            await Task.Yield();
            try
            {
                await loop(stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                // Asked to.
            }
            catch (Exception failure)
            {
                Failure = failure;
            }
            Ended?.Invoke();
        }
    }

    /// <summary>Signals are <see cref="StopSignals"/>' business.</summary>
    sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
