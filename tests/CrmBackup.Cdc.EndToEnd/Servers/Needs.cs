using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What a test needs of the machine it runs on.</summary>
[Flags]
public enum Needs
{
    /// <summary>Mounts, and what else only root may.</summary>
    Root = 1,

    /// <summary>Servers whose files and processes are at hand, as those in containers are not.</summary>
    LocalServers = 2,
}

/// <summary>A test that not every machine can run: where this one cannot, it is "not run", with the reason, and never passed.</summary>
public sealed class FactWhereAttribute : FactAttribute
{
    public FactWhereAttribute(Needs needs) => Skip = Missing.Of(needs);
}

/// <inheritdoc cref="FactWhereAttribute"/>
public sealed class TheoryWhereAttribute : TheoryAttribute
{
    public TheoryWhereAttribute(Needs needs) => Skip = Missing.Of(needs);
}

static class Missing
{
    /// <returns>Null when nothing is missing.</returns>
    public static string? Of(Needs needs)
    {
        if (needs.HasFlag(Needs.LocalServers) && Containers.Available)
            return "the servers run in containers: their files and processes are not at hand";
        return needs.HasFlag(Needs.Root) && !(OperatingSystem.IsLinux() && Environment.UserName == "root")
            ? "only root on Linux may mount: run the tests as root" : null;
    }
}
