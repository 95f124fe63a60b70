using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class SalvageCommand : Verb
{
    readonly Argument<string> _from = new("from") { HelpName = "folder|image", Description = "What is left: a folder, or a raw image of the medium (a file or a device), which is only read" };
    readonly Option<bool> _dryRun = new("--dry-run") { Description = "Say what could be salvaged, table by table, with the first rows; write nothing" };
    readonly Option<int> _rows = new("--rows") { HelpName = "n", Description = "Rows of each table to show", DefaultValueFactory = _ => new SalvageOptions { From = "" }.FirstRows };
    readonly Option<Guid?> _vaultId = new("--vault-id") { HelpName = "id", Description = "Which vault, where several are found [default: the one with the most segments]" };

    public SalvageCommand()
        : base("salvage", "Builds a new vault from the segments that are left of one, without any commit; also carves them out of a raw image")
    {
        Arguments.Add(_from);
        Options.Add(SharedOptions.Vault);
        Options.Add(_dryRun);
        Options.Add(_rows);
        Options.Add(_vaultId);
        Options.Add(SharedOptions.PrivateKey);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup salvage /backup/crm --dry-run                            # the commits are gone: what is there?",
        "crmbackup salvage /backup/crm --vault /backup/crm-salvaged",
        "crmbackup salvage /dev/sdb1 --vault /mnt/other/crm-salvaged        # formatted over; keep the new vault on another disk",
    ];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var options = new SalvageOptions
        {
            From = invocation.Get(_from)!,
            DryRun = invocation.Get(_dryRun),
            FirstRows = Math.Clamp(invocation.Get(_rows), 0, 1000),
            Vault = invocation.Get(_vaultId),
        };
        if (!Directory.Exists(options.From) && !File.Exists(options.From))
            throw new UsageException($"there is nothing at {options.From}", "Give the folder of the damaged vault, or an image of its medium.");
        var target = options.DryRun ? null : MakeTarget(invocation.Settings.VaultPath, options.From);
        using var key = invocation.Settings.Keys.Private();
        var salvage = new VaultSalvage(invocation.Clock, invocation.Logging.CreateLogger<VaultSalvage>(), key);
        var report = await WorkDisplay.ShowAsync(invocation, show => salvage.RunAsync(
            options, target, new Reporting<VerificationProgress>(step => show(new WorkStep("searching", null, step.BytesDone, step.BytesTotal))), stop));
        if (target is not null && report.Vault is not null)
            await invocation.RememberHeadAsync(await BackupVault.OpenAsync(target, stop), written: true, stop, accept: true);
        invocation.Answer(report, output => Write(report, output));
        return (int)report.ExitCode;
    }

    /// <summary>Never where something is, and never into what is searched.</summary>
    static DirectoryMedium MakeTarget(string path, string from)
    {
        var (inside, whole) = (Path.GetFullPath(path) + Path.DirectorySeparatorChar, Path.GetFullPath(from).TrimEnd('/') + Path.DirectorySeparatorChar);
        if (Directory.Exists(path) && Directory.EnumerateFileSystemEntries(path).Any())
            throw new RefusedException($"{path} is not empty", "Choose an empty folder for the new vault: nothing is ever overwritten.");
        if (inside.StartsWith(whole, StringComparison.Ordinal))
            throw new RefusedException($"{path} lies in {from}, which is searched", "Choose a folder elsewhere, best on another disk.");
        return DirectoryMedium.CreateRoot(path);
    }

    static void Write(SalvageReport report, TextWriter output)
    {
        output.WriteLine(report.Vault is null
            ? $"No segment of a vault was found in {report.From} ({Words.Bytes(report.BytesRead)} read)."
            : $"Of vault {report.Vault}: {Words.Of(report.Proven, "segment")} proven, {report.Used} of them {(report.DryRun ? "would make" : "make")} the new vault"
                + $"{(report.NewVault is { } made ? $" {made}" : "")}; {Words.Of(report.Schemas, "schema")}; {Words.Bytes(report.BytesRead)} read.");
        foreach (var table in report.Tables)
        {
            output.WriteLine($"  {table.Table}: {Words.Of(table.Rows, "row or event", "rows and events")} in {Words.Of(table.Segments, "proven segment")}"
                + (table.Damaged > 0 ? $", {table.Damaged} DAMAGED" : "") + (table.From is { } from ? $", {from} to {table.To}" : ""));
            foreach (var row in report.DryRun ? table.First : [])
                output.WriteLine($"    {row}");
        }
        foreach (var damage in report.Damage)
            output.WriteLine($"Damaged: {damage.Where} {damage.What}");
        foreach (var missing in report.Missing)
            output.WriteLine($"Missing: {missing}");
        if (report.OtherVaults.Count > 0)
            output.WriteLine($"Left alone, of other vaults (--vault-id): {string.Join(", ", report.OtherVaults)}");
        output.WriteLine(report.Coverage.Count == 0 ? "Nothing of the whole database can be restored exactly."
            : $"Exact restores: {string.Join("; ", report.Coverage.Select(range => $"{Edge(range.From)} to {Edge(range.To)}{(range.Timeline == 1 ? "" : $" on timeline {range.Timeline}")}"))}");
    }

    static string Edge(Edge edge) => edge.Time is { } time ? $"{time} (lsn:{edge.Lsn})" : $"lsn:{edge.Lsn}";
}
