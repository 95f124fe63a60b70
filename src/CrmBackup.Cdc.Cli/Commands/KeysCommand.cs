using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class KeysCommand : Verb
{
    const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    const UnixFileMode Everybody = OwnerOnly | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    readonly Argument<string> _action = new("action") { Description = "new: make a pair; show: the public keys that are configured, or in a file; adopt: sign what stands in the vault" };
    readonly Argument<string?> _file = new("file") { Description = "The private key's file; the public one gets .pub at its end", Arity = ArgumentArity.ZeroOrOne };

    public KeysCommand()
        : base("keys", "Keys that sign the commits, so that a forged, cut or replaced history shows")
    {
        _action.AcceptOnlyFromAmong("new", "show", "adopt");
        Arguments.Add(_action);
        Arguments.Add(_file);
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.PrivateKey);
        Options.Add(SharedOptions.PublicKey);
        Options.Add(SharedOptions.Yes);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup keys new /etc/crmbackup/sign.key            # and /etc/crmbackup/sign.key.pub: keep a copy of that one elsewhere",
        "crmbackup keys show /etc/crmbackup/sign.key.pub",
        "crmbackup run --private-key /etc/crmbackup/sign.key --source … --vault /backup/crm",
        "crmbackup verify --public-key sign.key.pub --head 4711:9f86… --vault /backup/crm",
        "crmbackup keys adopt --private-key /etc/crmbackup/sign.key --vault /backup/crm   # a vault that was not signed until now",
    ];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var file = invocation.Get(_file);
        switch (invocation.Get(_action))
        {
            case "new": New(invocation, file ?? throw new UsageException("into which file?", "For example: crmbackup keys new /etc/crmbackup/sign.key")); break;
            case "show": Show(invocation, file); break;
            default: await AdoptAsync(invocation, stop); break;
        }
        return (int)ExitCode.Done;
    }

    /// <param name="Keys">Public keys, as 'signedBy' names them in commits.</param>
    sealed record Answer(IReadOnlyList<string> Keys, string? PrivateFile = null, string? PublicFile = null, FileReference? Head = null);

    static void New(Invocation invocation, string file)
    {
        using var key = SigningKey.New();
        WriteNew(file, key.ToPrivatePem(), OwnerOnly);
        WriteNew(file + ".pub", key.ToPublicPem(), Everybody);
        invocation.Answer(new Answer([key.Public], file, file + ".pub"), output =>
        {
            output.WriteLine($"{file} signs (keys.privateFile, or --private-key), {file}.pub is who reads (keys.publicFile, or --public-key).");
            output.WriteLine($"Public key {key.Public}");
        });
    }

    static void WriteNew(string file, byte[] pem, UnixFileMode mode)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = mode;
        try
        {
            using var output = new FileStream(file, options);
            output.Write(pem);
            output.Flush(flushToDisk: true);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BackupException($"cannot write {file}: {failure.Message}", "A key is never overwritten: choose another name.", inner: failure);
        }
    }

    static void Show(Invocation invocation, string? file)
    {
        var trusted = (file is null ? invocation.Settings.Keys : new KeySettings { PublicFile = file }).Trusted()
            ?? throw new UsageException("no key is configured", "Give a file: crmbackup keys show FILE.pub, or set keys.publicFile.");
        invocation.Answer(new Answer([.. trusted.All]), output =>
        {
            foreach (var key in trusted.All)
                output.WriteLine(key);
        });
    }

    static async Task AdoptAsync(Invocation invocation, CancellationToken stop)
    {
        using var key = invocation.Settings.Keys.Private()
            ?? throw new UsageException("with which key? --private-key is missing", "'crmbackup keys new FILE' makes one.");
        var vault = await BackupVault.OpenAsync(new DirectoryMedium(invocation.Settings.VaultPath), stop);
        invocation.ConfirmOrRefuse(
            $"Vouch for {vault.Medium.Location} as it is, {vault.State.Head} commits up to {vault.State.HeadHash}? Verify it before.");
        using (await VaultWriter.OpenAsync(
            vault, invocation.Clock, Environment.MachineName, Environment.ProcessId, stop, invocation.Logging.CreateLogger<VaultWriter>(), key, adopt: true))
            await invocation.RememberHeadAsync(vault, written: true, stop);
        var head = new FileReference(vault.State.Head, vault.State.HeadHash);
        invocation.Answer(new Answer([key.Public], Head: head), output =>
            output.WriteLine($"Commit {head} is signed by {key.Public}, and vouches for all before it."));
    }
}
