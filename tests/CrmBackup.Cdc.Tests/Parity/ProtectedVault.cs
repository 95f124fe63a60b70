using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests.Salvage;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;

namespace CrmBackup.Cdc.Tests.Parity;

/// <summary>A vault as the archive writes it, with parity, and damage done to its files.</summary>
sealed class ProtectedVault : IDisposable
{
    readonly TemporaryVault? _random;
    readonly LinkedVault? _linked;
    Dictionary<string, byte[]> _before = [];

    ProtectedVault(TemporaryVault? random, LinkedVault? linked) => (_random, _linked) = (random, linked);

    public string Root => _linked?.Root ?? _random!.Root;

    public DirectoryMedium Medium => new(Root);

    /// <summary>After the last parity.</summary>
    public VaultState State { get; private set; } = VaultState.Empty;

    public IReadOnlyList<ChangeEvent> Events => _linked!.Events;

    /// <summary>Real segments, small.</summary>
    public static async Task<ProtectedVault> OfRealSegmentsAsync(int parities)
    {
        var made = new ProtectedVault(null, await LinkedVault.CreateAsync());
        await made.ProtectAsync(new ParityOptions { Files = parities });
        return made;
    }

    /// <summary>One group of segments of random bytes and various lengths, empty ones among them.</summary>
    public static async Task<ProtectedVault> OfRandomSegmentsAsync(int segments, int bytesMax, ParityOptions options)
    {
        var files = new TemporaryVault(Directory.Exists("/dev/shm") ? "/dev/shm" : null);
        var random = new Random(segments);
        using (var writer = await files.WriterAsync(await files.CreateAsync()))
            for (var i = 0; i < segments; i++)
            {
                var bytes = new byte[i == 0 ? 0 : bytesMax - random.Next(bytesMax / 3)];
                random.NextBytes(bytes);
                var path = $"tables/000001-crm.accounts/changes/2026-11-22/{i:D3}.parquet";
                var temporary = files.Medium.NewTemporaryPath("segment");
                await File.WriteAllBytesAsync(temporary, bytes);
                await files.Medium.PublishAsync(temporary, path, default);
                await writer.CommitAsync(new CommitContent { Add = [Samples.Segment(path, bytes, SegmentKind.Changes)] }, default);
            }
        var made = new ProtectedVault(files, null);
        await made.ProtectAsync(options);
        return made;
    }

    public async Task ProtectAsync(ParityOptions options, CommitContent? before = null)
    {
        var vault = await BackupVault.OpenAsync(Medium, default);
        using (var writer = await VaultWriter.OpenAsync(vault, TimeProvider.System, "here", 1, default))
        {
            if (before is not null)
                await writer.CommitAsync(before, default);
            var job = new ParityJob(Medium, vault.Identity, NullLogger.Instance);
            while (ParityPlan.For(vault.State, options, atOnce: true) is { } plan)
                await writer.CommitAsync(await job.RunAsync(plan, vault.State, $"{writer.Epoch:D8}-{writer.NextCounter():D12}", default), default);
            State = writer.State;
        }
        _before = Files();
    }

    /// <summary>All that parity or a copy inside the vault can mend; in each group so many at once as it has parity files.</summary>
    public IReadOnlyList<string> Members => [.. State.ParityGroups.Values.SelectMany(group => group.Members.Concat(group.Files)).Select(file => file.Path)];

    /// <summary>In packs, or made from what is beside: however many at once.</summary>
    public IReadOnlyList<string> Copied =>
    [
        .. _before.Keys.Where(path => path == VaultPath.Identity || path.StartsWith("schema/", StringComparison.Ordinal)
            || VaultVerificationChain.IsCommit(path, out var number) && number <= State.ParityPacks.Max(pack => pack.LastCommit)),
    ];

    public Dictionary<string, byte[]> Files() => Directory.EnumerateFiles(Root, "*", SearchOption.AllDirectories)
        .Select(path => Path.GetRelativePath(Root, path)).Where(path => !path.StartsWith("tmp/", StringComparison.Ordinal))
        .Order(StringComparer.Ordinal).ToDictionary(path => path, path => File.ReadAllBytes(PathOf(path)));

    public string PathOf(string path) => Path.Combine(Root, path);

    /// <summary>Null deletes it.</summary>
    public void Put(string path, byte[]? bytes)
    {
        File.Delete(PathOf(path));
        if (bytes is not null)
            File.WriteAllBytes(PathOf(path), bytes);
    }

    /// <summary>Bits, cut, lengthened, gone, or the bytes of another file.</summary>
    public void Damage(Random random, string path)
    {
        var bytes = _before[path].ToArray();
        switch (random.Next(6))
        {
            case 0 or 1 when bytes.Length > 0:
                for (var flips = random.Next(1, 4); flips > 0; flips--)
                    bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
                Put(path, bytes);
                break;
            case 2 when bytes.Length > 0: Put(path, bytes[..random.Next(bytes.Length)]); break;
            case 3: Put(path, [.. bytes, 0]); break;
            case 4: Put(path, _before.Values.ElementAt(random.Next(_before.Count))); break;
            default: Put(path, null); break;
        }
    }

    public Task<RepairReport> RepairAsync(params IMedium[] copies) => RepairAsync(Medium, copies);

    public static Task<RepairReport> RepairAsync(IMedium medium, params IMedium[] copies) =>
        new VaultRepair(medium, copies, trust: null, head: null, TimeProvider.System, progress: null).RunAsync(default);

    /// <summary>Every file is what it was before the damage. A bundle that is missing is no damage.</summary>
    public bool IsAsBefore() => Files() is var now
        && _before.All(file => now.TryGetValue(file.Key, out var bytes) ? bytes.AsSpan().SequenceEqual(file.Value) : file.Key.EndsWith("/bundle", StringComparison.Ordinal));

    public void Dispose()
    {
        _linked?.Dispose();
        _random?.Dispose();
    }
}
