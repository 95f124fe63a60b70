using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary><c>tmp/lease-*.json</c>: while one has not expired, prune removes nothing.</summary>
/// <param name="Holder">Who and what for, for people.</param>
public sealed record LeaseDocument(string Holder, DateTimeOffset Expires);

/// <summary>Keeps prune away while a restore reads. Take it before the vault is opened. Renewed until it is disposed;
/// if the process
/// dies it expires within the hour.</summary>
public sealed class RestoreLease : IAsyncDisposable
{
    public const string Prefix = "tmp/lease-";
    static readonly TimeSpan Length = TimeSpan.FromHours(1);
    static readonly TimeSpan RenewEvery = TimeSpan.FromMinutes(20);

    readonly IMedium _medium;
    readonly string _holder;
    readonly TimeProvider _clock;
    readonly CancellationTokenSource _end = new();
    readonly Task _renewing;
    string _path;

    RestoreLease(IMedium medium, string holder, TimeProvider clock, string path)
    {
        (_medium, _holder, _clock, _path) = (medium, holder, clock, path);
        _renewing = RenewAsync(_end.Token);
    }

    /// <returns>Null where nothing can be written, because the vault is mounted read-only or the disk is full: a
    /// restore must go on even so,
    /// and notices every file that is not there.</returns>
    public static async Task<RestoreLease?> TryTakeAsync(
        IMedium medium, string holder, TimeProvider clock, CancellationToken stop)
    {
        try
        {
            return new RestoreLease(medium, holder, clock, await WriteAsync(medium, holder, clock, stop));
        }
        catch (MediumException refused) when (refused.Failure is MediumFailure.Other or MediumFailure.Full)
        {
            return null;
        }
    }

    /// <summary>The leases that stand; one that cannot be read stands until it is older than a lease can be.</summary>
    public static async Task<IReadOnlyList<LeaseDocument>> StandingAsync(
        IMedium medium, TimeProvider clock, CancellationToken stop)
    {
        var standing = new List<LeaseDocument>();
        await foreach (var file in medium.ListAsync("tmp/", null, stop))
        {
            if (!file.Path.StartsWith(Prefix, StringComparison.Ordinal) || !VaultPath.IsValid(file.Path)
                || await medium.ReadAsync(file.Path, stop) is not { } bytes)
                continue;
            var lease = Parse(bytes) ?? new LeaseDocument("unreadable", file.Modified + Length);
            if (lease.Expires > clock.GetUtcNow())
                standing.Add(lease);
        }
        return standing;
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await _renewing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _end.Dispose();
        await _medium.DeleteAsync(_path, CancellationToken.None);
    }

    /// <summary>A file is never changed: the next lease is written, then the one before it deleted.</summary>
    async Task RenewAsync(CancellationToken stop)
    {
        while (true)
        {
            await Task.Delay(RenewEvery, _clock, stop);
            try
            {
                var next = await WriteAsync(_medium, _holder, _clock, stop);
                (var last, _path) = (_path, next);
                await _medium.DeleteAsync(last, stop);
            }
            catch (MediumException)
            {
                // Two more tries before it expires. After that the restore itself notices every file that is not there.
            }
        }
    }

    static async Task<string> WriteAsync(IMedium medium, string holder, TimeProvider clock, CancellationToken stop)
    {
        var path = $"{Prefix}{Guid.NewGuid():N}.json";
        var lease = new LeaseDocument(holder, clock.GetUtcNow() + Length);
        var json = JsonSerializer.SerializeToUtf8Bytes(lease, LeaseJson.Default.LeaseDocument);
        await medium.TryCreateAsync(path, json, stop);
        return path;
    }

    static LeaseDocument? Parse(byte[] bytes)
    {
        try
        {
            return JsonSerializer.Deserialize(bytes, LeaseJson.Default.LeaseDocument);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(LeaseDocument))]
sealed partial class LeaseJson : JsonSerializerContext;
