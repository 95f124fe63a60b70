using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Makes a file of a group from the others, block by block: a block that does not match its check, on any copy, is lost, all
/// others count, those of damaged files too. Memory: one block of each file.</summary>
/// <param name="media">Where to look for each file, in this order.</param>
public sealed class ParityReader(ParityHead head, IReadOnlyList<IMedium> media)
{
    readonly ParityDescription _group = head.Group;

    int Shards => _group.Members.Count + _group.Parity;

    /// <summary>Members, then parity files.</summary>
    string PathOf(int shard) =>
        shard < _group.Members.Count ? _group.Members[shard].Path : VaultPath.Parity(_group.Id, shard - _group.Members.Count);

    /// <returns>Null when the group has no such file.</returns>
    public int? ShardOf(string path) => Enumerable.Range(0, Shards).Where(shard => PathOf(shard) == path).Select(shard => (int?)shard).FirstOrDefault();

    /// <summary>Writes the file as it was. Whether it is, the caller proves by its hash.</summary>
    /// <returns>Null, or why it cannot be made; what was written then counts for nothing.</returns>
    public async Task<string?> MendAsync(int shard, Stream output, CancellationToken stop)
    {
        var code = new ReedSolomon(_group.Members.Count, _group.Parity);
        var blocks = Enumerable.Range(0, Shards).Select(_ => new byte[_group.BlockBytes]).ToArray();
        var files = Enumerable.Range(0, Shards).Select(Open).ToList();
        var isMember = shard < _group.Members.Count;
        var left = isMember ? _group.Members[shard].Bytes : _group.Blocks * _group.BlockBytes;
        try
        {
            if (!isMember)
                await output.WriteAsync((head with { Place = shard - _group.Members.Count }).ToBytes(), stop);
            for (var at = 0L; left > 0; at++)
            {
                if (!await ReadAsync(files[shard], shard, at, blocks[shard], stop))
                {
                    var lost = new List<int> { shard };
                    for (var other = 0; other < Shards; other++)
                        if (other != shard && !await ReadAsync(files[other], other, at, blocks[other], stop))
                            lost.Add(other);
                    if (lost.Count > _group.Parity)
                        return $"of the {Shards} files of its parity group {lost.Count} are damaged at the same place (from byte {at * _group.BlockBytes} on), and any {_group.Parity} could be mended";
                    code.Mend(blocks, lost);
                }
                var length = (int)Math.Min(left, _group.BlockBytes);
                await output.WriteAsync(blocks[shard].AsMemory(0, length), stop);
                left -= length;
            }
            return null;
        }
        finally
        {
            foreach (var file in files.SelectMany(copies => copies))
                await file.DisposeAsync();
        }
    }

    List<Stream> Open(int shard)
    {
        var copies = new List<Stream>();
        foreach (var medium in media)
            try
            {
                copies.Add(medium.OpenRead(PathOf(shard)));
            }
            catch (MediumException)
            {
                // Lost there: others may have it.
            }
        return copies;
    }

    /// <returns>False when no copy has the block as it was.</returns>
    async Task<bool> ReadAsync(List<Stream> copies, int shard, long at, byte[] block, CancellationToken stop)
    {
        var start = at * _group.BlockBytes;
        var bytes = shard < _group.Members.Count ? _group.Members[shard].Bytes - start : _group.BlockBytes;
        var length = (int)Math.Clamp(bytes, 0, _group.BlockBytes);
        var check = new byte[ParityHead.CheckLength];
        // Where a shorter member has nothing, its zeros need no file.
        foreach (var copy in length == 0 ? [Stream.Null] : copies)
        {
            try
            {
                var read = 0;
                if (length > 0)
                {
                    copy.Position = start + (shard < _group.Members.Count ? 0 : _headLength);
                    read = await copy.ReadAtLeastAsync(block.AsMemory(0, length), length, throwOnEndOfStream: false, stop);
                }
                block.AsSpan(read..).Clear();
            }
            catch (IOException)
            {
                // A sector that the disk gives back no more.
                continue;
            }
            ParityHead.WriteCheck(block, check);
            if (check.AsSpan().SequenceEqual(head.CheckAt(shard, at)))
                return true;
        }
        return false;
    }

    readonly int _headLength = head.ToBytes().Length;
}
