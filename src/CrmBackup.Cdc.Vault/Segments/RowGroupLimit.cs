namespace CrmBackup.Cdc.Vault;

/// <summary>A reader holds one row group at a time: this is what bounds its memory. One larger row is a row group of its own.</summary>
static class RowGroupLimit
{
    public const int Rows = 128 * 1024;
    public const long Bytes = 16L << 20;

    /// <summary>How many rows from <paramref name="first"/> on go into one row group.</summary>
    public static int RowsFrom(int first, int end, Func<int, int> weight)
    {
        long bytes = 0;
        var row = first;
        while (row < end && row - first < Rows)
        {
            bytes += weight(row);
            if (bytes > Bytes && row > first)
                break;
            row++;
        }
        return row - first;
    }
}
