using System.Diagnostics;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Cli;

/// <summary>For tests of crashes: <c>CRMBACKUP_FAILPOINT</c> names the place where the process kills itself, as SIGKILL would.</summary>
static class FailPoints
{
    public const string Variable = "CRMBACKUP_FAILPOINT";

    public static void FromEnvironment()
    {
        if (Environment.GetEnvironmentVariable(Variable) is not { Length: > 0 } chosen)
            return;
        FailPoint.Reached = name =>
        {
            if (name != chosen)
                return;
            Console.Error.WriteLine($"fail point {name}: the process kills itself");
            Process.GetCurrentProcess().Kill();
            // The signal is on its way; nothing may be done meanwhile.
            new ManualResetEvent(false).WaitOne();
        };
    }
}
