using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Which failures of a medium are waited for, and how it is seen that they are over.</summary>
public static class MediumPatience
{
    /// <summary>What a flush may need at the least.</summary>
    const int ProbeBytes = 1 << 20;

    /// <summary>No room (ENOSPC, EDQUOT), read-only (EROFS), not there (no folder, no vault in it, ESTALE, ENOTCONN, ENODEV, ETIMEDOUT): people and
    /// machines mend these, and nothing was lost by them. Any other failure, EIO among them, may have lost what was written: it ends the process,
    /// and whoever starts it again trusts only what can be read.</summary>
    public static bool Passes(this MediumException failure) =>
        failure.Failure is MediumFailure.Full or MediumFailure.ReadOnly or MediumFailure.Absent;

    /// <summary>The medium's part in a failure, whoever told of it and in whatever words: as it says itself, or as it shows now.</summary>
    /// <returns>Null when the medium is not the cause, or when waiting does not help.</returns>
    public static async Task<MediumException?> CauseAsync(IMedium medium, Exception failure, CancellationToken stop)
    {
        for (var cause = failure; cause is not null; cause = cause.InnerException)
        {
            if (cause is MediumException told)
                return told.Passes() ? told : null;
            if (cause is IOException && DirectoryFailure.Explain(DiskCalls.Real, cause, medium.Location, "") is { } explained && explained.Passes())
                return explained;
        }
        try
        {
            await ProbeAsync(medium, stop);
            return null;
        }
        catch (MediumException shown) when (shown.Passes())
        {
            return shown;
        }
    }

    /// <summary>Returns when the vault is there and takes data.</summary>
    /// <exception cref="MediumException">It is not, or does not.</exception>
    public static async Task ProbeAsync(IMedium medium, CancellationToken stop)
    {
        if (await medium.ReadAsync(VaultPath.Identity, stop) is null)
            throw DirectoryFailure.NoVault(DiskCalls.Real, medium.Location);
        if (!medium.GrantsDelete)
            return;
        var path = medium.NewTemporaryPath("probe");
        try
        {
            await using var probe = medium.CreateTemporary(path, bufferSize: 0);
            await probe.WriteAsync(new byte[ProbeBytes], stop);
        }
        catch (IOException failure)
        {
            throw DirectoryFailure.Explain(DiskCalls.Real, failure, medium.Location, "");
        }
        finally
        {
            medium.DeleteTemporary(path);
        }
    }
}
