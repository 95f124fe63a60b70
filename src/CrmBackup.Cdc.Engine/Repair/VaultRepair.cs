using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Mends the damaged and missing files of a vault: from parity and packs, from what stands beside them, from copies of the vault. A
/// file takes the place of a damaged one only when it was proven, and in one step; interrupted, the next repair goes on. May run beside a
/// writer: it commits nothing.</summary>
/// <param name="copies">Other vaults with the same content.</param>
/// <param name="head">A commit that was seen once.</param>
public sealed class VaultRepair(
    IMedium medium, IReadOnlyList<IMedium> copies, TrustedKeys? trust, FileReference? head, TimeProvider clock, IProgress<VerificationProgress>? progress)
{
    /// <summary>A mended manifest shows which of a schema's files are damaged, a mended pack what else can be mended.</summary>
    const int RoundsMax = 5;
    const string TheRest = "the rest of the vault";

    readonly List<MendedFile> _mended = [];

    /// <exception cref="RefusedException">There is nothing like a vault, or the medium grants no replacing: nothing was changed.</exception>
    public async Task<RepairReport> RunAsync(CancellationToken stop)
    {
        await using var lease = medium.GrantsDelete ? await RestoreLease.TryTakeAsync(medium, "verify --repair", clock, stop) : null;
        if (!medium.GrantsDelete)
            await RefuseWhereNothingIsReplacedAsync((await VerifyAsync(stop)).Damage, stop);
        VaultVerificationReport report;
        for (var round = 1; ; round++)
        {
            var before = _mended.Count;
            var sources = await MendSources.ReadAsync(medium, copies, stop);
            await MendChainAsync(sources, stop);
            report = await VerifyAsync(stop);
            if (report.Damage.Count == 0 || round == RoundsMax)
                break;
            // Of a commit that nothing names only the whole chain can tell that it is the one.
            foreach (var damage in report.Damage.Where(damage => damage.Expected is not null || !VaultVerificationChain.IsCommit(damage.Path, out _)))
                await MendAsync(sources, damage, stop);
            if (_mended.Count == before)
                break;
        }
        return new RepairReport(_mended, await ExplainAsync(medium, copies, report, stop));
    }

    /// <summary>Says of each damage from what it could be mended, or why it cannot be. Changes nothing.</summary>
    public static async Task<VaultVerificationReport> ExplainAsync(
        IMedium medium, IReadOnlyList<IMedium> copies, VaultVerificationReport report, CancellationToken stop)
    {
        if (report.Damage.Count == 0)
            return report;
        var sources = await MendSources.ReadAsync(medium, copies, stop);
        var explained = new List<VaultDamage>();
        foreach (var damage in report.Damage)
        {
            await using var output = new FileStream(Path.Combine(Path.GetTempPath(), $"crmbackup-mend-{Guid.NewGuid():N}"), new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.ReadWrite,
                Options = FileOptions.DeleteOnClose,
            });
            var (from, why) = IsDerived(damage.Path) ? (TheRest, "") : await sources.MendAsync(damage, output, stop);
            explained.Add(damage with { MendableFrom = from, NotMendable = from is null ? why : null });
        }
        return report with { Damage = explained };
    }

    Task<VaultVerificationReport> VerifyAsync(CancellationToken stop) =>
        VaultVerification.RunAsync(medium, progress, trust: trust, head: head, stop: stop);

    /// <summary>Commits vouch for each other: what is found for one is only taken when the whole chain then fits.</summary>
    async Task MendChainAsync(MendSources sources, CancellationToken stop)
    {
        var found = new Dictionary<string, (string From, byte[] Bytes)>();
        var tried = new HashSet<(string, Sha256?)>();
        for (var more = true; more;)
        {
            more = false;
            var chain = await WalkAsync(found, sources.Parity.LastCommit, stop);
            foreach (var damage in chain.Damage)
                found.Remove(damage.Path);
            foreach (var damage in chain.Damage.Where(damage => tried.Add((damage.Path, damage.Expected))))
            {
                using var output = new MemoryStream();
                if ((await sources.MendAsync(damage, output, stop)).From is not { } from)
                    continue;
                found[damage.Path] = (from, output.ToArray());
                more = true;
            }
        }
        foreach (var (path, (from, bytes)) in found)
            await PlaceAsync(path, async output =>
            {
                await output.WriteAsync(bytes, stop);
                return from;
            }, stop);
    }

    async Task<VaultVerificationChain> WalkAsync(Dictionary<string, (string From, byte[] Bytes)> found, long known, CancellationToken stop)
    {
        var listed = await VaultVerification.ListAsync(medium, stop);
        var chain = new VaultVerificationChain(medium, listed, trust, ReadAsync, known);
        await chain.WalkAsync(await ReadAsync(VaultPath.Identity, stop) is { } identity ? Sha256.Of(identity) : null, stop);
        return chain;

        async Task<byte[]?> ReadAsync(string path, CancellationToken ending) =>
            found.TryGetValue(path, out var file) ? file.Bytes : await medium.ReadAsync(path, ending);
    }

    async Task MendAsync(MendSources sources, VaultDamage damage, CancellationToken stop)
    {
        if (await PlaceAsync(damage.Path, async output => (await sources.MendAsync(damage, output, stop)).From, stop) || !IsDerived(damage.Path))
            return;
        await medium.DeleteAsync(damage.Path, stop);
        _mended.Add(new MendedFile(damage.Path, $"{TheRest}: removed, as it is written anew when it is wanted"));
    }

    /// <param name="write">Gives what it wrote from; null when it wrote nothing that is to stay.</param>
    async Task<bool> PlaceAsync(string path, Func<Stream, Task<string?>> write, CancellationToken stop)
    {
        var temporary = medium.NewTemporaryPath("repair");
        try
        {
            string? from;
            await using (var output = medium.CreateTemporary(temporary, bufferSize: 1 << 16))
                from = await write(output);
            if (from is not null)
            {
                await medium.ReplaceAsync(temporary, path, stop);
                _mended.Add(new MendedFile(path, from));
                return true;
            }
        }
        catch
        {
            medium.DeleteTemporary(temporary);
            throw;
        }
        medium.DeleteTemporary(temporary);
        return false;
    }

    async Task RefuseWhereNothingIsReplacedAsync(IEnumerable<VaultDamage> damages, CancellationToken stop)
    {
        if (medium.GrantsDelete)
            return;
        var there = (await VaultVerification.ListAsync(medium, stop)).Keys;
        if (damages.Select(damage => damage.Path).FirstOrDefault(there.Contains) is { } path)
            throw new RefusedException(
                $"{path} is damaged, and nothing at {medium.Location} may be replaced: the vault is set to be create-only",
                "Repair with credentials that may overwrite, and without vault.createOnly. Missing files can be mended with these.");
    }

    /// <summary>Short cuts and views: whole vaults have none of them.</summary>
    static bool IsDerived(string path) =>
        path.StartsWith(ViewsFile.Folder, StringComparison.Ordinal) || path.StartsWith("checkpoints/", StringComparison.Ordinal);
}
