using System.Text;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Cli;

/// <summary>Everything that can be set, in one tree: the paths of <c>crmbackup.json</c> and of the environment's names follow from it.
/// <c>schemas/config.schema.json</c> describes it; a test holds the two together.</summary>
sealed record Settings
{
    public SourceSettings Source { get; init; } = new();
    public VaultSettings Vault { get; init; } = new();
    public BrokerSettings Broker { get; init; } = new();
    public CaptureOptions Capture { get; init; } = new() { Source = new() };
    public ArchiveOptions Archive { get; init; } = new();
    public SettleOptions Settle { get; init; } = new();
    public ParityOptions Parity { get; init; } = new();
    public JobOptions Jobs { get; init; } = new();
    public KeySettings Keys { get; init; } = new();

    /// <summary>Where this machine remembers the newest commit of each vault.</summary>
    public string? State { get; init; }

    /// <summary>What is set, what systemd gives, or the usual place of this user.</summary>
    public string StateFolder => State
        ?? Environment.GetEnvironmentVariable("STATE_DIRECTORY")?.Split(':')[0]
        ?? (Environment.IsPrivilegedProcess ? "/var/lib/crmbackup" : Path.Combine(
            Environment.GetEnvironmentVariable("XDG_STATE_HOME") is { Length: > 0 } home
                ? home : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "state"), "crmbackup"));

    /// <summary>Given, and a connection string by its looks: wrong usage is said before anything is opened.</summary>
    public string SourceConnection
    {
        get
        {
            var text = Source.Connection ?? throw Missing("source", "--source \"Host=db.example;Database=crm;Username=backup\"");
            _ = ConnectionText.Parse(text);
            return text;
        }
    }

    public string VaultPath => Vault.Path ?? throw Missing("vault", "--vault /backup/crm");

    /// <summary>What is set to something that cannot be, all at once.</summary>
    public IEnumerable<string> Problems() => Capture.Problems().Concat(Archive.Problems()).Concat(Settle.Problems()).Concat(Parity.Problems()).Concat(Jobs.Problems());

    internal static UsageException NoBroker() => Missing("broker", "--broker amqp://crmbackup@mq.example/");

    static UsageException Missing(string what, string example) =>
        new($"no {what} is given", $"Add {example}, or set CRMBACKUP__{what.ToUpperInvariant()}, or \"{what}\" in crmbackup.json.");
}

/// <summary>The CRM's database. <c>"source": "Host=…"</c> is short for <c>source.connection</c>.</summary>
sealed record SourceSettings
{
    /// <summary>Npgsql connection string or <c>postgres://</c> URI.</summary>
    [Short, Secret]
    public string? Connection { get; init; }

    /// <summary>A file whose only line is the connection: for secrets that a supervisor mounts.</summary>
    [ReplacedBy(nameof(Connection))]
    public string? ConnectionFile { get; init; }
}

/// <summary>Where the backup lives. <c>"vault": "/backup/crm"</c> is short for <c>vault.path</c>.</summary>
sealed record VaultSettings
{
    [Short]
    public string? Path { get; init; }

    /// <summary>Nothing on the medium is overwritten, renamed or deleted by this process: for credentials that do not grant it.</summary>
    public bool CreateOnly { get; init; }
}

/// <summary>Files with Ed25519 keys, in PEM: 'crmbackup keys new' makes a pair.</summary>
sealed record KeySettings
{
    /// <summary>Signs every commit: for who writes the vault.</summary>
    public string? PrivateFile { get; init; }

    /// <summary>Whose signature is trusted, one key or several: for who reads. Nothing else is restored from then.</summary>
    public string? PublicFile { get; init; }

    /// <returns>Null when no key signs.</returns>
    public SigningKey? Private() => PrivateFile is { } file ? SigningKey.Parse(Read(file), file) : null;

    /// <summary>The public keys given, and our own.</summary>
    /// <returns>Null when none is configured: then signatures are not asked for.</returns>
    public TrustedKeys? Trusted()
    {
        var given = PublicFile is { } file ? TrustedKeys.Parse(Encoding.UTF8.GetString(Read(file)), file).All : [];
        using var own = Private();
        var all = own is null ? given : [.. given, own.Public];
        return all.Count > 0 ? new TrustedKeys(all) : null;
    }

    static byte[] Read(string file)
    {
        try
        {
            return File.ReadAllBytes(file);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"cannot read the key {file}: {failure.Message}", "Check the path and the file's mode; 'crmbackup keys new' makes a pair.");
        }
    }
}

/// <summary>The broker between capture and archive; without it they share one process. <c>"broker": "amqp://…"</c> is short for
/// <c>broker.uri</c>.</summary>
sealed record BrokerSettings
{
    [Short, Secret]
    public string? Uri { get; init; }

    /// <summary>A file whose only line is the URI.</summary>
    [ReplacedBy(nameof(Uri))]
    public string? UriFile { get; init; }

    /// <summary>Larger blocks travel in parts.</summary>
    public int? MessageBytesMax { get; init; }

    /// <summary>Messages sent and not yet confirmed.</summary>
    public int? UnconfirmedMax { get; init; }

    /// <summary>Capture waits while more than this waits in the broker; the slot holds the rest.</summary>
    public long? WaitingBytesMax { get; init; }

    /// <summary>The broker refuses what exceeds this.</summary>
    public long? QueueBytesMax { get; init; }

    /// <exception cref="UsageException">No broker, or not an AMQP URI.</exception>
    public RabbitOptions For(Guid vault)
    {
        var text = Uri ?? throw Settings.NoBroker();
        if (!System.Uri.TryCreate(text, UriKind.Absolute, out var broker) || broker.Scheme is not ("amqp" or "amqps"))
            throw new UsageException("--broker is not an amqp:// or amqps:// URI", "For example amqp://crmbackup@mq.example:5672/; keep the password in CRMBACKUP__BROKER or a file.");
        var options = RabbitOptions.For(broker, vault);
        options = options with
        {
            MessageBytesMax = MessageBytesMax ?? options.MessageBytesMax,
            UnconfirmedMax = UnconfirmedMax ?? options.UnconfirmedMax,
            WaitingBytesMax = WaitingBytesMax ?? options.WaitingBytesMax,
            QueueBytesMax = QueueBytesMax ?? options.QueueBytesMax,
        };
        var problems = string.Join("; ", options.Problems());
        return problems.Length == 0 ? options : throw new UsageException(problems, "schemas/config.schema.json describes every setting.");
    }
}

/// <summary>The setting that its section's name alone stands for.</summary>
[AttributeUsage(AttributeTargets.Property)]
sealed class ShortAttribute : Attribute;

/// <summary>May hold a password: never printed.</summary>
[AttributeUsage(AttributeTargets.Property)]
sealed class SecretAttribute : Attribute;

/// <summary>Names a file that holds the value of another setting; of the two the one given last counts.</summary>
[AttributeUsage(AttributeTargets.Property)]
sealed class ReplacedByAttribute(string setting) : Attribute
{
    public string Setting { get; } = setting;
}
