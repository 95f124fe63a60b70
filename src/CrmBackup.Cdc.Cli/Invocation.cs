using System.Collections;
using System.CommandLine;
using System.Text.Json;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

/// <summary>One call of a verb: its words, its settings, its streams.</summary>
sealed class Invocation
{
    readonly ParseResult _parsed;

    public Invocation(ParseResult parsed, Terminal terminal)
    {
        (_parsed, Terminal) = (parsed, terminal);
        Settings = SettingsReader.Read(parsed.GetValue(SharedOptions.Config), Environment.GetEnvironmentVariables(), GivenAsOptions());
        Logging = LoggerFactory.Create(logging => logging
            .SetMinimumLevel(LeastLevel)
            .AddProvider(new LineLogger(terminal, LeastLevel, brief: parsed.CommandResult.Command is not Verb { IsLongRunning: true }, Clock)));
        Log = Logging.CreateLogger("CrmBackup.Cdc.Cli");
        WarnOfPassword(SharedOptions.Source);
        WarnOfPassword(SharedOptions.Broker);
    }

    public Terminal Terminal { get; }

    public Settings Settings { get; }

    public ILoggerFactory Logging { get; }

    public ILogger Log { get; }

    public TimeProvider Clock { get; } = TimeProvider.System;

    public bool WantsJson => _parsed.GetValue(SharedOptions.Output) == "json";

    public bool IsQuiet => _parsed.GetValue(SharedOptions.Quiet);

    public bool IsVerbose => _parsed.GetValue(SharedOptions.Verbose);

    public LogLevel LeastLevel => IsVerbose ? LogLevel.Debug : IsQuiet ? LogLevel.Warning : LogLevel.Information;

    public T? Get<T>(Option<T> option) => _parsed.GetValue(option);

    public T? Get<T>(Argument<T> argument) => _parsed.GetValue(argument);

    public bool Has(Option option) => _parsed.GetResult(option) is { Implicit: false };

    /// <summary>The answer: <paramref name="text"/> for people, or the whole of <paramref name="answer"/> as one JSON line.</summary>
    public void Answer<T>(T answer, Action<TextWriter> text)
    {
        if (WantsJson)
            Terminal.Data.WriteLine(JsonSerializer.Serialize(answer, OutputJson.Options));
        else
            text(Terminal.Data);
        Terminal.Data.Flush();
    }

    /// <summary>What this machine remembers of vaults.</summary>
    public RememberedHeads Heads => new(Settings.StateFolder, Clock);

    /// <summary>The vault as it is trusted here: signed where a key is configured. What it has lost since this machine last saw it is said.</summary>
    /// <exception cref="RefusedException">There is no vault, or it is not one that this program reads, or not signed as it must be.</exception>
    public async Task<BackupVault> OpenVaultAsync(CancellationToken stop)
    {
        var vault = await BackupVault.OpenAsync(new DirectoryMedium(Settings.VaultPath, Settings.Vault.CreateOnly), stop, trust: Settings.Keys.Trusted());
        if (await Heads.MissingAsync(vault, stop) is { } lost)
            Log.RolledBack(vault.Medium.Location, lost.Number, lost.Hash, lost.Seen);
        return vault;
    }

    /// <summary>A state directory that cannot be written is said, and is no reason to end: the vault itself is sound.</summary>
    /// <param name="written">This process made the vault, or writes to it.</param>
    /// <returns>False when it could not.</returns>
    public async Task<bool> RememberHeadAsync(BackupVault vault, bool written, CancellationToken stop, bool accept = false)
    {
        try
        {
            await Heads.RememberAsync(vault, written, stop, accept);
            return true;
        }
        catch (MediumException)
        {
            // Whoever works on the vault says what is wrong with its medium; the head is remembered when it is back.
            return true;
        }
        catch (BackupException failure)
        {
            Log.HeadNotRemembered(failure.Message, failure.Hint);
            return false;
        }
    }

    /// <summary><c>--yes</c>, or a person who says so.</summary>
    public bool IsConfirmed(string question) => _parsed.GetValue(SharedOptions.Yes) || Terminal.Confirm(question);

    /// <exception cref="RefusedException">Neither <c>--yes</c> nor a person who said yes.</exception>
    public void ConfirmOrRefuse(string question)
    {
        if (!IsConfirmed(question))
            throw new RefusedException("not confirmed, nothing was done", "Say yes, or give --yes where nobody can be asked.");
    }

    IEnumerable<(string Path, string Value, string Option)> GivenAsOptions()
    {
        foreach (var (option, path) in SharedOptions.Settings)
            if (_parsed.GetResult(option) is { Implicit: false } && _parsed.GetValue(option) is { } value)
                yield return (path, value, option.Name);
    }

    public void WarnOfPassword(Option<string> option)
    {
        if (_parsed.GetResult(option) is { Implicit: false } && _parsed.GetValue(option) is { } text && HoldsPassword(text))
            Log.PasswordInOption(option.Name);
    }

    static bool HoldsPassword(string text) => Uri.TryCreate(text, UriKind.Absolute, out var uri)
        ? uri.UserInfo.Contains(':', StringComparison.Ordinal)
        : text.Contains("password", StringComparison.OrdinalIgnoreCase) || text.Contains("pwd", StringComparison.OrdinalIgnoreCase);
}
