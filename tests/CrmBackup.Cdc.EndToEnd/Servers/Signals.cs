using System.Runtime.InteropServices;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What is sent to processes of this machine, by their numbers on Linux.</summary>
static class Signals
{
    public const int Kill = 9, Terminate = 15, Continue = 18, Stop = 19;

    /// <summary>To one that may have ended already.</summary>
    public static void Send(int process, int signal) => _ = kill(process, signal);

    [DllImport("libc", SetLastError = true)]
    static extern int kill(int process, int signal);
}
