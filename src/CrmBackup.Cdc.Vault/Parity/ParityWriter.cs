using System.Security.Cryptography;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Reads the members of a group block by block, side by side, and writes its parity files. Memory: one block of each.</summary>
public static class ParityWriter
{
    /// <param name="temporaries">One temporary path for each parity file. The caller publishes or deletes them.</param>
    /// <returns>The parity files as they will be named.</returns>
    /// <exception cref="DifferenceException">A member is not the file that was committed.</exception>
    public static async Task<IReadOnlyList<ParityFile>> WriteAsync(
        ParityDescription group, IMedium medium, IReadOnlyList<string> temporaries, CancellationToken stop)
    {
        var checks = new byte[group.ChecksLength];
        var heads = Enumerable.Range(0, group.Parity).Select(place => new ParityHead(group, place, checks)).ToList();
        var outputs = new List<Stream>();
        try
        {
            foreach (var (place, temporary) in temporaries.Index())
            {
                outputs.Add(medium.CreateTemporary(temporary, bufferSize: 0));
                // Its room; the checks are known at the end.
                await outputs[place].WriteAsync(heads[place].ToBytes(), stop);
            }
            await EncodeAsync(group, medium, checks, outputs, stop);
            var files = new List<ParityFile>();
            foreach (var (place, output) in outputs.Index())
            {
                output.Position = 0;
                await output.WriteAsync(heads[place].ToBytes(), stop);
                await output.FlushAsync(stop);
                output.Position = 0;
                files.Add(new ParityFile(VaultPath.Parity(group.Id, place), output.Length, Sha256.From(await SHA256.HashDataAsync(output, stop))));
            }
            return files;
        }
        finally
        {
            foreach (var output in outputs)
                await output.DisposeAsync();
        }
    }

    static async Task EncodeAsync(ParityDescription group, IMedium medium, byte[] checks, List<Stream> outputs, CancellationToken stop)
    {
        var code = new ReedSolomon(group.Members.Count, group.Parity);
        var hashes = group.Members.Select(_ => IncrementalHash.CreateHash(HashAlgorithmName.SHA256)).ToList();
        var inputs = new List<Stream>();
        try
        {
            foreach (var member in group.Members)
                inputs.Add(medium.OpenRead(member.Path));
            var block = new byte[group.BlockBytes];
            var parities = outputs.Select(_ => new byte[group.BlockBytes]).ToArray();
            for (var at = 0L; at < group.Blocks; at++)
            {
                stop.ThrowIfCancellationRequested();
                foreach (var parity in parities)
                    Array.Clear(parity);
                for (var member = 0; member < inputs.Count; member++)
                {
                    var read = await inputs[member].ReadAtLeastAsync(block, block.Length, throwOnEndOfStream: false, stop);
                    block.AsSpan(read..).Clear();
                    hashes[member].AppendData(block, 0, read);
                    ParityHead.WriteCheck(block, Check(member, at));
                    code.Add(member, block, parities);
                }
                for (var place = 0; place < parities.Length; place++)
                {
                    ParityHead.WriteCheck(parities[place], Check(group.Members.Count + place, at));
                    await outputs[place].WriteAsync(parities[place], stop);
                }
            }
            for (var member = 0; member < inputs.Count; member++)
                if (inputs[member].Length != group.Members[member].Bytes || Sha256.From(hashes[member].GetHashAndReset()) != group.Members[member].FileHash)
                    throw new DifferenceException($"{group.Members[member].Path} is damaged: no parity is made of it", "Mend the vault first: crmbackup verify --repair.");
        }
        finally
        {
            foreach (var input in inputs)
                await input.DisposeAsync();
            hashes.ForEach(hash => hash.Dispose());
        }

        Span<byte> Check(int shard, long at) => checks.AsSpan((int)(shard * group.Blocks + at) * ParityHead.CheckLength, ParityHead.CheckLength);
    }
}
