using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests.Segments;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace CrmBackup.Cdc.Tests.Salvage;

public sealed class SalvageTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("salvage-test-").FullName;
    int _made;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Without_any_commit_the_segments_tell_the_whole_history(bool prune)
    {
        using var lost = await LinkedVault.CreateAsync(prune);
        lost.DeleteCommits();
        File.Delete(lost.PathOf(VaultPath.Identity));

        var (report, vault) = await SalvageAsync(lost.Root);

        Assert.Equal((ExitCode.Done, lost.Id), (report.ExitCode, report.Vault));
        Assert.Empty(report.Missing);
        Assert.Empty(report.Damage);
        Given.Same([.. lost.Events], LinkedVault.EventsOf(vault));
        var (expected, actual) = (lost.State, vault.State);
        Assert.Equal(Coverage.Of(expected).Database.Select(range => (range.From, range.UpTo)), Coverage.Of(actual).Database.Select(range => (range.From, range.UpTo)));
        Assert.Equal(expected.Marks, actual.Marks);
        Assert.Equal(expected.Gaps, actual.Gaps);
        Assert.Equal(expected.Schemas, actual.Schemas);
        Assert.Equal(expected.Bases, actual.Bases);
        Assert.Equal(expected.BaseChunks, actual.BaseChunks);
        Assert.Equal(expected.Sequences.Select(sample => sample.At), actual.Sequences.Select(sample => sample.At));
        Assert.Equal(expected.CoveredTo, actual.CoveredTo);
        Assert.Equal("crm", vault.Identity.Database);
        var verified = await VaultVerification.RunAsync(vault.Medium);
        Assert.Empty(verified.Damage);
        Assert.Empty(verified.Orphans);
        foreach (var shape in new[] { LinkedVault.Accounts, LinkedVault.Contacts })
            Assert.Equal(Plan(expected, shape), Plan(actual, shape));
    }

    [Fact]
    public async Task Parity_and_packs_are_taken_for_nothing_that_they_are_not()
    {
        using var lost = await Parity.ProtectedVault.OfRealSegmentsAsync(parities: 2);
        Directory.Delete(lost.PathOf("commits"), recursive: true);
        File.Delete(lost.PathOf(VaultPath.Identity));

        var (report, vault) = await SalvageAsync(lost.Root);

        Assert.Equal(ExitCode.Done, report.ExitCode);
        Assert.Empty(report.Damage);
        Given.Same([.. lost.Events], LinkedVault.EventsOf(vault));
        Assert.Empty(vault.State.ParityGroups);
    }

    [Fact]
    public async Task A_dry_run_tells_tables_rows_times_and_first_rows_and_writes_nothing()
    {
        using var lost = await LinkedVault.CreateAsync();
        lost.DeleteCommits();
        var before = Directory.GetFileSystemEntries(lost.Root, "*", SearchOption.AllDirectories);

        var report = await new VaultSalvage(TimeProvider.System, NullLogger.Instance, null).RunAsync(
            new SalvageOptions { From = lost.Root, DryRun = true, FirstRows = 2 }, null, null, default);

        Assert.Equal(before, Directory.GetFileSystemEntries(lost.Root, "*", SearchOption.AllDirectories));
        var accounts = report.Tables.Single(table => table.Table == "public.accounts");
        Assert.Equal((35L, 0, 2), (accounts.Rows, accounts.Damaged, accounts.First.Count));
        Assert.Contains("I 1 | Ada", accounts.First);
        Assert.NotNull(accounts.From);
        Assert.NotEmpty(report.Coverage);
    }

    [Fact]
    public async Task A_missing_log_segment_is_a_gap_until_a_base_that_needs_nothing_of_it()
    {
        using var lost = await LinkedVault.CreateAsync();
        lost.DeleteCommits();
        File.Delete(lost.PathOf(lost.Logs[4].Path));

        var (report, vault) = await SalvageAsync(lost.Root);

        Assert.Equal(ExitCode.Difference, report.ExitCode);
        Assert.Contains($"events between {lost.Logs[3].Last} and {lost.Logs[5].First}", report.Missing);
        var coverage = Coverage.Of(vault.State);
        var range = Assert.Single(coverage.Database);
        Assert.Equal((new Lsn(0x1000), lost.Logs[3].Last), (range.From.Lsn, range.UpTo.Lsn));
        // Accounts were read anew later; contacts never.
        Assert.Contains(coverage.Relations.Single(table => table.Name == "public.accounts").Ranges, later => later.UpTo.Lsn == lost.Logs[^1].Last);
    }

    [Fact]
    public async Task A_damaged_segment_is_not_taken_and_costs_only_its_own_table()
    {
        using var lost = await LinkedVault.CreateAsync();
        lost.DeleteCommits();
        var settled = Directory.GetFiles(lost.PathOf("tables"), "*.parquet", SearchOption.AllDirectories)
            .Single(path => path.Contains("/000002-", StringComparison.Ordinal) && path.Contains("/changes/", StringComparison.Ordinal));
        await FlipAsync(settled, 40);

        var (report, vault) = await SalvageAsync(lost.Root);

        Assert.Contains(report.Damage, damage => damage.Where == settled);
        Assert.Contains("public.contacts", Assert.Single(report.Missing), StringComparison.Ordinal);
        var coverage = Coverage.Of(vault.State);
        Assert.Equal(new Lsn(0x100F), Assert.Single(coverage.Database).UpTo.Lsn);
        Assert.Equal(2, coverage.Relations.Single(table => table.Name == "public.accounts").Ranges.Count);
        Assert.Empty((await VaultVerification.RunAsync(vault.Medium)).Damage);
    }

    [Fact]
    public async Task A_base_without_all_its_rows_counts_for_nothing()
    {
        using var lost = await LinkedVault.CreateAsync();
        lost.DeleteCommits();
        File.Delete(Directory.GetFiles(lost.PathOf("tables"), "*.parquet", SearchOption.AllDirectories)
            .Single(path => path.Contains("/000002-", StringComparison.Ordinal) && path.Contains("/base/", StringComparison.Ordinal)));

        var (report, vault) = await SalvageAsync(lost.Root);

        Assert.Contains("base 1 of public.contacts", Assert.Single(report.Missing), StringComparison.Ordinal);
        Assert.Empty(Coverage.Of(vault.State).Database);
    }

    [Fact]
    public async Task What_was_written_twice_counts_once()
    {
        using var lost = await LinkedVault.CreateAsync(prune: false);
        lost.DeleteCommits();
        // An orphan: the same link, other events, and nobody went on from it.
        var orphan = new LogSegmentBuilder();
        orphan.Add(EventKind.Insert, 1, 1, 9, 0, OldTupleKind.None, default, Given.Tuple("9", "never committed twice"));
        orphan.CompleteTransaction(0, lost.Logs[4].First, new SourceTime(1));
        await using (var output = File.Create(lost.PathOf("log/2026-11-22/orphan.parquet")))
            await LogSegmentFile.WriteAsync(output, "x", orphan, 1, new SegmentOrigin(lost.Id, VaultFormat.Current, 1, 1), (_, _) => LinkedVault.Accounts, default,
                new SegmentLink(lost.Logs[3].ContentHash));
        File.Copy(lost.PathOf(lost.Logs[5].Path), lost.PathOf("log/copy.parquet"));

        var (report, vault) = await SalvageAsync(lost.Root);

        Assert.Equal(ExitCode.Done, report.ExitCode);
        Given.Same([.. lost.Events], LinkedVault.EventsOf(vault));
    }

    [Fact]
    public async Task Whatever_is_lost_the_coverage_that_results_is_true()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            using var lost = await LinkedVault.CreateAsync(prune: random.Next(3) > 0);
            lost.DeleteCommits();
            var files = Directory.GetFiles(lost.Root, "*.parquet", SearchOption.AllDirectories).Order(StringComparer.Ordinal).ToArray();
            for (var i = random.Next(1, 5); i > 0; i--)
            {
                var file = files[random.Next(files.Length)];
                if (random.Next(2) == 0)
                    File.Delete(file);
                else if (File.Exists(file))
                    await FlipAsync(file, random.Next((int)new FileInfo(file).Length));
            }

            var (_, vault) = await SalvageAsync(lost.Root);

            var events = LinkedVault.EventsOf(vault).Select(change => (change.CommitLsn, change.Ordinal)).ToHashSet();
            foreach (var table in Coverage.Of(vault.State).Relations)
                foreach (var range in table.Ranges)
                {
                    var complete = vault.State.Bases.Where(known => known.Relation == table.Relation && range.Holds(known.From)).MaxBy(known => known.From.Lsn)!;
                    var chunk = vault.State.BaseChunks.Single(known => known.Relation == table.Relation && known.BaseId == complete.BaseId);
                    var needed = lost.Events.Where(change => change.Relation == table.Relation && change.CommitLsn <= range.UpTo.Lsn && change.Xid >= Snapshot.Parse(chunk.Snapshot).Xmin);
                    Assert.All(needed, change => Assert.True(events.Contains((change.CommitLsn, change.Ordinal)), $"seed {seed}: {table.Name} is said to be covered up to {range.UpTo}, and {change.CommitLsn} is not there"));
                }
        }
    }

    [Fact]
    public async Task Segments_and_schemas_are_carved_out_of_a_raw_image()
    {
        using var lost = await LinkedVault.CreateAsync();
        lost.DeleteCommits();
        var image = await ImageAsync(lost, _ => Placing.Whole);

        var (report, vault) = await SalvageAsync(image);

        Assert.True(report.ExitCode == ExitCode.Done, string.Join('\n', report.Missing.Concat(report.Damage.Select(damage => damage.What))));
        Given.Same([.. lost.Events], LinkedVault.EventsOf(vault));
        Assert.Equal(lost.State.Schemas, vault.State.Schemas);
        Assert.Equal("CREATE TABLE accounts"u8.ToArray(), (await new SchemaStore(vault.Medium).ReadAsync(lost.State.Schemas[0].Hash, default))["pre-data.sql"]);
        Assert.Empty((await VaultVerification.RunAsync(vault.Medium)).Damage);
    }

    [Theory]
    [InlineData(Placing.InPieces)]
    [InlineData(Placing.EndOverwritten)]
    [InlineData(Placing.BeginningOverwritten)]
    public async Task What_lies_in_pieces_or_is_half_overwritten_is_reported_and_never_half_restored(Placing how)
    {
        using var lost = await LinkedVault.CreateAsync();
        lost.DeleteCommits();
        var victim = lost.PathOf(lost.Logs[4].Path);
        var image = await ImageAsync(lost, path => path == victim ? how : Placing.Whole);

        var (report, vault) = await SalvageAsync(image);

        Assert.Equal(ExitCode.Difference, report.ExitCode);
        Assert.Contains(report.Damage, damage => damage.Where.StartsWith(image, StringComparison.Ordinal));
        Assert.InRange(Assert.Single(Coverage.Of(vault.State).Database).UpTo.Lsn.Value, lost.Logs[3].Last.Value, lost.Logs[4].First.Value - 1);
        Assert.DoesNotContain(LinkedVault.EventsOf(vault), change => change.CommitLsn >= lost.Logs[4].First && change.CommitLsn <= lost.Logs[4].Last);
        Assert.Empty((await VaultVerification.RunAsync(vault.Medium)).Damage);
    }

    public enum Placing
    {
        Whole,
        InPieces,
        EndOverwritten,
        BeginningOverwritten,
    }

    /// <summary>Every file on sectors somewhere, with rubbish between them that holds our magic words too.</summary>
    async Task<string> ImageAsync(LinkedVault lost, Func<string, Placing> placing)
    {
        var random = new Random(7);
        var path = Path.Combine(_folder, $"image-{++_made}");
        await using var image = File.Create(path);
        var files = Directory.GetFiles(lost.Root, "*", SearchOption.AllDirectories).Where(file => Path.GetFileName(file) != "manifest.json" && !file.EndsWith(".sql", StringComparison.Ordinal)).ToArray();
        random.Shuffle(files);
        // A deleted copy of something lies there as well.
        foreach (var file in files.Append(files.First(file => file.EndsWith(".parquet", StringComparison.Ordinal) && placing(file) == Placing.Whole)))
        {
            Rubbish();
            var bytes = await File.ReadAllBytesAsync(file);
            var how = placing(file);
            var half = bytes.Length / 2 / 512 * 512;
            switch (how)
            {
                case Placing.InPieces:
                    image.Write(bytes.AsSpan(0, half));
                    Rubbish();
                    image.Write(bytes.AsSpan(half));
                    break;
                case Placing.EndOverwritten:
                    image.Write(bytes.AsSpan(0, half));
                    image.Write(new byte[bytes.Length - half]);
                    break;
                case Placing.BeginningOverwritten:
                    image.Write(new byte[half]);
                    image.Write(bytes.AsSpan(half));
                    break;
                default:
                    image.Write(bytes);
                    break;
            }
        }
        return path;

        void Rubbish()
        {
            image.Position = (image.Position + 511) / 512 * 512;
            var rubbish = new byte[512 * random.Next(1, 400)];
            random.NextBytes(rubbish);
            foreach (var word in new[] { "PAR1"u8.ToArray(), "CBSCHEM1"u8.ToArray(), [0x20, 0, 0, 0, .. "PAR1"u8] })
                word.CopyTo(rubbish, random.Next(2) == 0 ? 0 : random.Next(rubbish.Length - 8));
            image.Write(rubbish);
        }
    }

    async Task<(SalvageReport Report, BackupVault Vault)> SalvageAsync(string from)
    {
        var target = DirectoryMedium.CreateRoot(Path.Combine(_folder, $"new-{++_made}"));
        var report = await new VaultSalvage(TimeProvider.System, NullLogger.Instance, null).RunAsync(
            new SalvageOptions { From = from }, target, null, default);
        Assert.DoesNotContain(Directory.GetFiles(Path.Combine(target.Location, "tmp")), file => !file.EndsWith("writer.lock", StringComparison.Ordinal));
        return (report, await BackupVault.OpenAsync(target, default));
    }

    static async Task FlipAsync(string path, int at)
    {
        var bytes = await File.ReadAllBytesAsync(path);
        bytes[at] ^= 0x10;
        await File.WriteAllBytesAsync(path, bytes);
    }

    /// <summary>What the plan for the newest moment reads.</summary>
    static string Plan(VaultState state, RelationShape shape)
    {
        var plan = new RelationPlanner(state, 1).At(shape, state.CoveredTo!.Position.Lsn);
        return $"{plan.Base} {string.Join(',', plan.Chunks.Select(chunk => chunk.Chunk))} {plan.Events.Min(segment => segment.First)} to {plan.Events.Max(segment => segment.Last)}";
    }
}
