using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Systematic Reed-Solomon code: of data and parity shards together any <paramref name="parity"/> may be lost. Parity shard j is the
/// sum over the data shards i of 1 / ((255 - j) XOR i) times shard i, in GF(2^8): a Cauchy matrix, of which every square part has an inverse.</summary>
/// <param name="data">With <paramref name="parity"/> at most <see cref="ParityGroup.FilesMax"/>.</param>
public sealed class ReedSolomon(int data, int parity)
{
    /// <summary>What data shard <paramref name="member"/> adds to parity shard <paramref name="row"/>.</summary>
    static byte Coefficient(int row, int member) => GaloisField.Inverse((byte)((255 - row) ^ member));

    /// <summary>Adds one data shard to all parity shards, which begin as zeros.</summary>
    public void Add(int member, ReadOnlySpan<byte> shard, byte[][] parities)
    {
        for (var row = 0; row < parity; row++)
            GaloisField.AddMultiple(parities[row], shard, Coefficient(row, member));
    }

    /// <summary>Fills in the lost shards.</summary>
    /// <param name="shards">Data shards, then parity shards, all of one length.</param>
    /// <param name="lost">Their places, at most as many as there are parity shards; what stands in them counts for nothing.</param>
    public void Mend(byte[][] shards, IReadOnlyCollection<int> lost)
    {
        Invariant.Holds(lost.Count <= parity, $"{lost.Count} shards are lost, {parity} can be mended");
        var members = lost.Where(place => place < data).Order().ToArray();
        var rows = Enumerable.Range(0, parity).Where(row => !lost.Contains(data + row)).Take(members.Length).ToArray();
        // What the lost members add to the rows that are there.
        var sums = rows.Select(row => shards[data + row].ToArray()).ToArray();
        for (var member = 0; member < data; member++)
            if (!lost.Contains(member))
                for (var i = 0; i < rows.Length; i++)
                    GaloisField.AddMultiple(sums[i], shards[member], Coefficient(rows[i], member));
        var inverse = Inverse(rows, members);
        for (var i = 0; i < members.Length; i++)
        {
            Array.Clear(shards[members[i]]);
            for (var j = 0; j < rows.Length; j++)
                GaloisField.AddMultiple(shards[members[i]], sums[j], inverse[i, j]);
        }
        foreach (var row in lost.Where(place => place >= data).Select(place => place - data))
        {
            Array.Clear(shards[data + row]);
            for (var member = 0; member < data; member++)
                GaloisField.AddMultiple(shards[data + row], shards[member], Coefficient(row, member));
        }
    }

    /// <summary>Of the part of the matrix with these rows and columns, by Gauss and Jordan.</summary>
    static byte[,] Inverse(int[] rows, int[] members)
    {
        var size = rows.Length;
        var left = new byte[size, size];
        var right = new byte[size, size];
        for (var i = 0; i < size; i++)
        {
            right[i, i] = 1;
            for (var j = 0; j < size; j++)
                left[i, j] = Coefficient(rows[i], members[j]);
        }
        for (var pivot = 0; pivot < size; pivot++)
        {
            // Every leading part of a Cauchy matrix has an inverse: no pivot is ever 0.
            Scale(pivot, GaloisField.Inverse(left[pivot, pivot]));
            for (var row = 0; row < size; row++)
                if (row != pivot)
                    AddRow(row, pivot, left[row, pivot]);
        }
        return right;

        void Scale(int row, byte factor)
        {
            for (var j = 0; j < size; j++)
                (left[row, j], right[row, j]) = (GaloisField.Multiply(left[row, j], factor), GaloisField.Multiply(right[row, j], factor));
        }

        void AddRow(int row, int pivot, byte factor)
        {
            for (var j = 0; j < size; j++)
            {
                left[row, j] ^= GaloisField.Multiply(left[pivot, j], factor);
                right[row, j] ^= GaloisField.Multiply(right[pivot, j], factor);
            }
        }
    }
}
