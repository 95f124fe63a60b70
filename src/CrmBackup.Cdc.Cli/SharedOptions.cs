using System.CommandLine;

namespace CrmBackup.Cdc.Cli;

/// <summary>The options that are the same word everywhere.</summary>
static class SharedOptions
{
    public static readonly Option<string> Source = new("--source")
    {
        HelpName = "connection",
        Description = "The CRM's database: an Npgsql connection string or a postgres:// URI",
    };

    public static readonly Option<string> Vault = new("--vault") { HelpName = "folder", Description = "Where the backup lives" };

    public static readonly Option<string> Broker = new("--broker")
    {
        HelpName = "amqp uri",
        Description = "RabbitMQ between capture and archive; without it they share one process",
    };

    public static readonly Option<string> Flush = new("--flush")
    {
        HelpName = "duration",
        Description = "Longest wait of a change before it is written: the recovery point [default: 1s]",
    };

    public static readonly Option<string> PrivateKey = new("--private-key")
    {
        HelpName = "file",
        Description = "Sign every commit with this key ('crmbackup keys new' makes one)",
    };

    public static readonly Option<string> Parity = new("--parity")
    {
        HelpName = "files",
        Description = "Write so many parity files for every 16 of the vault: as many may be damaged or lost, and 'verify --repair' mends them [default: 0]",
    };

    public static readonly Option<string> PublicKey = new("--public-key")
    {
        HelpName = "file",
        Description = "Trust only what is signed by this key",
    };

    /// <summary>Options that are settings too, by their path.</summary>
    public static readonly IReadOnlyList<(Option<string> Option, string Setting)> Settings =
        [(Source, "source"), (Vault, "vault"), (Broker, "broker"), (Flush, "archive.flush"), (PrivateKey, "keys.privateFile"), (Parity, "parity.files"), (PublicKey, "keys.publicFile")];

    public static readonly Option<string> Config = new("--config")
    {
        HelpName = "file",
        Recursive = true,
        Description = $"Settings; without it {SettingsReader.DefaultFile} where it exists",
    };

    public static readonly Option<string> Output = Choice("--output", "How the answer on stdout is written", "text", "json");

    public static readonly Option<bool> Quiet = new("--quiet", "-q") { Recursive = true, Description = "Only warnings and errors on stderr" };

    public static readonly Option<bool> Verbose = new("--verbose", "-v") { Recursive = true, Description = "Everything on stderr, stack traces too" };

    public static readonly Option<bool> Yes = new("--yes", "-y") { Description = "Do not ask" };

    public static readonly IReadOnlyList<Option> Everywhere = [Config, Output, Quiet, Verbose];

    static Option<string> Choice(string name, string description, params string[] words)
    {
        var option = new Option<string>(name)
        {
            Recursive = true,
            HelpName = string.Join('|', words),
            Description = description,
            DefaultValueFactory = _ => words[0],
        };
        option.AcceptOnlyFromAmong(words);
        return option;
    }
}
