namespace CrmBackup.Cdc.Engine;

/// <summary>Bytes that are of use to this process only: in memory while they are few, then in a file that is gone with it.</summary>
sealed class Scratch(string folder, long memoryBytes) : IDisposable
{
    Stream _bytes = new MemoryStream();

    public long Length => _bytes.Length;

    public void Append(ReadOnlySpan<byte> bytes)
    {
        if (_bytes is MemoryStream memory && memory.Length + bytes.Length > memoryBytes)
        {
            _bytes = NewFile(folder, "repair");
            memory.WriteTo(_bytes);
        }
        _bytes.Position = _bytes.Length;
        _bytes.Write(bytes);
    }

    public void Read(long at, Span<byte> bytes)
    {
        _bytes.Position = at;
        _bytes.ReadExactly(bytes);
    }

    public static FileStream NewFile(string folder, string what)
    {
        Directory.CreateDirectory(folder);
        return new FileStream(Path.Combine(folder, $"{what}-{Guid.NewGuid():n}.spill"), FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None,
            bufferSize: 64 << 10, FileOptions.DeleteOnClose);
    }

    public void Dispose() => _bytes.Dispose();
}
