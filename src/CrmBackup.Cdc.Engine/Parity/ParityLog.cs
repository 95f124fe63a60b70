using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

static partial class ParityLog
{
    [LoggerMessage(4450, LogLevel.Information, "{Members} files ({Bytes} bytes) can be mended from now on, by {Files} parity files of {ParityBytes} bytes")]
    public static partial void ParityWritten(this ILogger log, int members, long bytes, int files, long parityBytes);

    [LoggerMessage(4459, LogLevel.Warning, "No parity is written for {Pause}: {Reason}")]
    public static partial void ParityPutOff(this ILogger log, string reason, TimeSpan pause);
}
