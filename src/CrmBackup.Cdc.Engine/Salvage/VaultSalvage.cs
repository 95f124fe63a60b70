using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary><c>salvage</c>: a new vault from what is left of one, in a folder or on a raw image, without any commit.</summary>
public sealed class VaultSalvage(TimeProvider clock, ILogger log, SigningKey? key)
{
    /// <summary>One commit of so many segments has about half a megabyte.</summary>
    const int SegmentsPerCommit = 1000;

    /// <param name="target">The new vault's folder, already made; null in a dry run.</param>
    public async Task<SalvageReport> RunAsync(
        SalvageOptions options, DirectoryMedium? target, IProgress<VerificationProgress>? progress, CancellationToken stop)
    {
        var work = Directory.CreateTempSubdirectory("crmbackup-salvage-").FullName;
        try
        {
            using var kept = new Kept(target, work);
            var bytes = 0L;
            var counting = new Counting(progress, done => bytes = done);
            if (Directory.Exists(options.From))
                Take(new FolderSearch(options.From, options.FirstRows, counting).Pieces(stop), kept);
            else
                using (var search = new ImageSearch(OpenImage(options.From), options.From, target is null ? work : Path.GetDirectoryName(target.NewTemporaryPath("spool"))!, options.FirstRows, counting))
                    Take(search.Pieces(stop), kept);
            return await BuildAsync(options, target, kept, bytes, stop);
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    static FileStream OpenImage(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0, FileOptions.SequentialScan);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"cannot read {path}: {failure.Message}", "Give a folder, an image file, or a device that this user can read.");
        }
    }

    /// <summary>Remembers what was found; what must be copied while it can be read is copied.</summary>
    static void Take(IEnumerable<SalvagedPiece> pieces, Kept kept)
    {
        foreach (var piece in pieces)
            switch (piece)
            {
                case SalvagedPiece.Segment segment: kept.Take(segment); break;
                case SalvagedPiece.Schema schema: kept.Take(schema.Found); break;
                case SalvagedPiece.Identity identity: kept.Identities[identity.Found.Id] = identity.Found; break;
                case SalvagedPiece.Fragment fragment: kept.Damage.Add(new SalvageDamage(fragment.Where, fragment.What)); break;
            }
    }

    async Task<SalvageReport> BuildAsync(SalvageOptions options, DirectoryMedium? target, Kept kept, long bytes, CancellationToken stop)
    {
        var vaults = kept.Segments.GroupBy(segment => segment.Description!.Origin.Vault).OrderByDescending(vault => vault.Count()).ToList();
        var chosen = vaults.Find(vault => options.Vault is null || vault.Key == options.Vault);
        var others = vaults.Where(vault => vault != chosen).Select(vault => vault.Key).ToList();
        if (chosen is null)
            return new SalvageReport(options.From, options.DryRun, null, null, bytes, 0, 0, kept.Schemas.Count, [], kept.Damage, [], [], others);
        var history = SalvagedHistory.Of(chosen);
        foreach (var segment in chosen.Where(segment => !segment.Proven && !history.Lost.Contains(segment) && segment.Description!.Kind != SegmentKind.Base))
            kept.Damage.Add(new SalvageDamage(segment.Where, $"{segment.Damage}; what it held stands in others"));
        var missing = history.Missing.ToList();
        var (schemas, lost) = Schemas(history.State, kept);
        missing.AddRange(lost.Select(schema => $"the schema from {schema.From.Lsn} on, {schema.Hash.Hex[..12]}"));
        var state = history.State with { Schemas = schemas };
        if (target is not null)
            await WriteAsync(target, kept, history, state, chosen.First().Description!.Origin, stop);
        var proven = chosen.Count(segment => segment.Proven);
        return new SalvageReport(
            options.From, options.DryRun, chosen.Key, target?.Location, bytes, proven, history.Events.Count + history.Bases.Count,
            kept.Schemas.Count, Tables(chosen, options.FirstRows), kept.Damage, missing,
            [.. Coverage.Of(WithSegments(state, history)).Database.Select(CoveredRange.Of)], others);
    }

    static (System.Collections.Immutable.ImmutableList<SchemaVersion> Found, List<SchemaVersion> Lost) Schemas(VaultState state, Kept kept)
    {
        var lost = state.Schemas.Where(schema => !kept.Schemas.Contains(schema.Hash)).ToList();
        return (state.Schemas.RemoveAll(lost.Contains), lost);
    }

    static VaultState WithSegments(VaultState state, SalvagedHistory history) => state with
    {
        Segments = state.Segments.AddRange(history.Events.Concat(history.Bases).Select(SalvagedHistory.Entry)
            .Select(entry => KeyValuePair.Create(entry.Path, entry))),
    };

    async Task WriteAsync(
        DirectoryMedium target, Kept kept, SalvagedHistory history, VaultState state, SegmentOrigin origin, CancellationToken stop)
    {
        var identity = kept.Identities.GetValueOrDefault(origin.Vault) ?? new VaultIdentity(
            origin.Vault, VaultFormat.Current, origin.SystemIdentifier, state.Settings.GetValueOrDefault(Setting.Database, "unknown"), clock.GetUtcNow());
        var vault = await BackupVault.CreateAsync(target, identity, stop);
        using var writer = await VaultWriter.OpenAsync(vault, clock, Environment.MachineName, Environment.ProcessId, stop, log, key);
        foreach (var schema in state.Schemas.DistinctBy(schema => schema.Hash))
        {
            var stored = await new SchemaStore(target).PutAsync(kept.SchemaOf(schema.Hash).Files, stop);
            Invariant.Holds(stored == schema.Hash, $"the schema {schema.Hash} was stored as {stored}");
        }
        foreach (var some in history.Bases.Concat(history.Events).Chunk(SegmentsPerCommit))
        {
            var add = new List<SegmentEntry>();
            foreach (var segment in some)
                add.Add(await PlaceAsync(target, writer, segment, kept.FileOf(segment), stop));
            await writer.CommitAsync(new CommitContent { Add = add }, stop);
        }
        await writer.CommitAsync(new CommitContent
        {
            Relations = state.Relations,
            Schemas = state.Schemas,
            BaseChunks = state.BaseChunks,
            Bases = state.Bases,
            Marks = state.Marks,
            Gaps = state.Gaps,
            Sequences = state.Sequences,
            Settings = state.Settings,
            CoveredTo = state.CoveredTo,
            SettledTo = state.SettledTo.IsNone ? null : state.SettledTo,
            Requires = [.. state.Requires],
        }, stop);
    }

    static async Task<SegmentEntry> PlaceAsync(
        DirectoryMedium target, VaultWriter writer, LoneSegment segment, string temporary, CancellationToken stop)
    {
        var description = segment.Description!;
        var day = DateOnly.FromDateTime((description.FirstTime ?? new SourceTime(0)).ToDateTimeOffset().UtcDateTime);
        var path = description.Kind == SegmentKind.Log ? writer.NextLogPath(day, description.First)
            : writer.NextTablePath(description.Relations[0], description.Kind, day);
        var entry = description.ToEntry(path, segment.Bytes, segment.FileHash);
        await target.PublishAsync(temporary, path, stop);
        // What lay on a damaged medium may read differently the second time.
        SegmentFile.OpenVerified(target.OpenRead(path), entry).Dispose();
        return entry;
    }

    static List<SalvagedTable> Tables(IEnumerable<LoneSegment> segments, int firstRows)
    {
        // Rows as they once stood tell more than the first events.
        var found = segments.OrderByDescending(segment => segment.Description!.Kind == SegmentKind.Base).ThenBy(segment => segment.Description!.First).SelectMany(segment => (segment.Tables.Count > 0 ? segment.Tables : Known(segment)).Select(table => (segment, table)));
        return
        [
            .. found.GroupBy(one => one.table.Table).OrderBy(table => table.Key, StringComparer.Ordinal).Select(table => new SalvagedTable(
                table.Key, table.Where(one => one.segment.Proven).Sum(one => one.table.Rows), table.Count(one => one.segment.Proven),
                table.Count(one => !one.segment.Proven),
                table.Min(one => one.segment.Description!.FirstTime), table.Max(one => one.segment.Description!.LastTime),
                [.. table.Where(one => one.segment.Proven).SelectMany(one => one.table.First).Take(firstRows)])),
        ];
    }

    /// <summary>What a segment that cannot be read should hold.</summary>
    static IEnumerable<LoneTable> Known(LoneSegment segment) =>
        segment.Description!.Relations.Select(shape => new LoneTable(shape.Number, shape.FullName, 0, []));

    /// <summary>What was found so far. Proven segments lie under the new vault's <c>tmp/</c> until they are placed.</summary>
    /// <param name="work">A folder for the schemas.</param>
    sealed class Kept(DirectoryMedium? target, string work) : IDisposable
    {
        readonly Dictionary<LoneSegment, string> _files = new(ReferenceEqualityComparer.Instance);
        readonly HashSet<object> _known = [];

        public List<LoneSegment> Segments { get; } = [];
        public List<SalvageDamage> Damage { get; } = [];
        public HashSet<Sha256> Schemas { get; } = [];
        public Dictionary<Guid, VaultIdentity> Identities { get; } = [];

        public void Take(SalvagedPiece.Segment piece)
        {
            var found = piece.Found;
            if (found.Description is null)
            {
                Damage.Add(new SalvageDamage(found.Where, $"is no segment any more, not even at its end: {found.Damage}"));
                return;
            }
            // A medium holds deleted copies too.
            if (found.Proven && !_known.Add(LoneSegment.Identity(found)))
                return;
            Segments.Add(found);
            if (!found.Proven)
                Damage.Add(new SalvageDamage(found.Where, found.Damage!));
            else if (target is not null)
            {
                var file = target.NewTemporaryPath("salvaged");
                using (var input = piece.Open())
                using (var output = new FileStream(file, FileMode.CreateNew, FileAccess.Write))
                    input.CopyTo(output);
                _files.Add(found, file);
            }
        }

        public void Take(SalvagedSchema schema)
        {
            if (!Schemas.Add(schema.Hash))
                return;
            using var file = File.Create(SchemaFile(schema.Hash));
            file.Write(schema.ToBundle());
        }

        /// <summary>The new vault's own file with the segment's bytes; given once.</summary>
        public string FileOf(LoneSegment segment) => _files.Remove(segment, out var file) ? file
            : throw new InvalidOperationException($"{segment.Where} was not copied, or is placed already");

        public SalvagedSchema SchemaOf(Sha256 hash) =>
            SchemaBundle.TryDecode(File.ReadAllBytes(SchemaFile(hash)), out var schema) ? schema : throw new InvalidOperationException($"schema {hash} does not read back");

        string SchemaFile(Sha256 hash) => Path.Combine(work, $"{hash}.schema");

        /// <summary>What was not used.</summary>
        public void Dispose()
        {
            foreach (var file in _files.Values)
                File.Delete(file);
        }
    }

    sealed class Counting(IProgress<VerificationProgress>? below, Action<long> done) : IProgress<VerificationProgress>
    {
        public void Report(VerificationProgress value)
        {
            done(value.BytesDone);
            below?.Report(value);
        }
    }
}
