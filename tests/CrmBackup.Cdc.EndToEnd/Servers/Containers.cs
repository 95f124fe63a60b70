using System.Text.RegularExpressions;
using Docker.DotNet.Models;
using DotNet.Testcontainers.Builders;
using DotNet.Testcontainers.Configurations;
using DotNet.Testcontainers.Containers;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Whether a Docker daemon answers is asked once per run; without one the same tests use locally installed servers.</summary>
static class Containers
{
    static readonly Lazy<bool> _available = new(Ask);

    public static bool Available => _available.Value;

    static bool Ask()
    {
        while (true)
            try
            {
                new ContainerBuilder("postgres:17").Build();
                return true;
            }
            catch (DockerUnavailableException)
            {
                return false;
            }
            catch (RegexMatchTimeoutException)
            {
                // Reading the image's name may take a second: not enough for a machine that is very busy.
            }
    }

    /// <summary>Published ports are reachable from this machine only.</summary>
    public static void OnLoopback(CreateContainerParameters parameters)
    {
        foreach (var binding in parameters.HostConfig!.PortBindings!.Values.SelectMany(bindings => bindings!))
            binding.HostIP = "127.0.0.1";
    }

    public static async Task KillAsync(IContainer container)
    {
        using var client = TestcontainersSettings.OS.DockerEndpointAuthConfig.GetDockerClientBuilder(Guid.NewGuid()).Build();
        await client.Containers.KillContainerAsync(container.Id, new ContainerKillParameters { Signal = "SIGKILL" });
    }

    public static async Task<string> LogTailAsync(IContainer container)
    {
        var (output, errors) = await container.GetLogsAsync();
        return string.Join('\n', (output + errors).Split('\n').TakeLast(60));
    }
}
