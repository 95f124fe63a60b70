using System.Buffers;
using System.Buffers.Binary;
using CrmBackup.Cdc.Core;
using Microsoft.Win32.SafeHandles;

namespace CrmBackup.Cdc.Engine;

/// <summary>A transaction that the server streams before its commit, on our disk until then. Its file has no name: it vanishes with the
/// process, however that ends.
/// <code>
///  per frame: | xid of the (sub)transaction u32 | length u32 | LSN of its record u64 | frame, without the xid |   little-endian
/// </code></summary>
sealed class StagedTransaction : IDisposable
{
    const int BufferSize = 128 << 10;
    const int HeadSize = 16;
    readonly SafeFileHandle _file;
    readonly string _folder;
    readonly HashSet<uint> _aborted = [];
    byte[] _buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
    int _filled;
    long _written;

    public StagedTransaction(string folder)
    {
        _folder = folder;
        var path = Path.Combine(folder, $"crmbackup-{Guid.NewGuid():N}.staged");
        _file = Guarded(() => File.OpenHandle(
            path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None,
            OperatingSystem.IsWindows() ? FileOptions.DeleteOnClose : FileOptions.None));
        if (OperatingSystem.IsWindows())
            return;
        File.SetUnixFileMode(_file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        File.Delete(path);
    }

    /// <param name="at">Start of the WAL record that the frame tells of.</param>
    public void Append(uint xid, Lsn at, byte type, ReadOnlySpan<byte> rest)
    {
        var length = 1 + rest.Length;
        if (_filled + HeadSize + length > _buffer.Length)
            Flush();
        if (HeadSize + length > _buffer.Length)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = ArrayPool<byte>.Shared.Rent(HeadSize + length);
        }
        var target = _buffer.AsSpan(_filled, HeadSize + length);
        BinaryPrimitives.WriteUInt32LittleEndian(target, xid);
        BinaryPrimitives.WriteInt32LittleEndian(target[4..], length);
        BinaryPrimitives.WriteUInt64LittleEndian(target[8..], at.Value);
        target[HeadSize] = type;
        rest.CopyTo(target[(HeadSize + 1)..]);
        _filled += target.Length;
    }

    /// <summary>What this subtransaction did, and it alone, is void: PostgreSQL names each of its children too.</summary>
    public void AbortSub(uint xid) => _aborted.Add(xid);

    void Flush()
    {
        Guarded(() =>
        {
            RandomAccess.Write(_file, _buffer.AsSpan(0, _filled), _written);
            return true;
        });
        _written += _filled;
        _filled = 0;
    }

    /// <summary>The surviving frames in the order they came; each is valid until the next is asked for. Ends the appending.</summary>
    public IEnumerable<(ReadOnlyMemory<byte> Frame, Lsn At)> Frames()
    {
        Flush();
        long position = 0;
        int at = 0, filled = 0;
        while (true)
        {
            var needed = filled - at < HeadSize ? HeadSize : HeadSize + BinaryPrimitives.ReadInt32LittleEndian(_buffer.AsSpan(at + 4));
            if (filled - at < needed)
            {
                if (position == _written && filled == at)
                    yield break;
                Refill(ref position, ref at, ref filled, needed);
                continue;
            }
            var xid = BinaryPrimitives.ReadUInt32LittleEndian(_buffer.AsSpan(at));
            var written = new Lsn(BinaryPrimitives.ReadUInt64LittleEndian(_buffer.AsSpan(at + 8)));
            var frame = _buffer.AsMemory(at + HeadSize, needed - HeadSize);
            at += needed;
            if (!_aborted.Contains(xid) || IsOfSession(frame.Span[0]))
                yield return (frame, written);
        }
    }

    /// <summary>The server sends a relation once per streamed transaction, and does not repeat it when the subtransaction that it came
    /// with is aborted.</summary>
    static bool IsOfSession(byte type) => type is PgOutputFrame.Relation or PgOutputFrame.Type or PgOutputFrame.Origin;

    void Refill(ref long position, ref int at, ref int filled, int needed)
    {
        var rest = _buffer.AsSpan(at, filled - at);
        if (needed > _buffer.Length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(needed);
            rest.CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }
        else
            rest.CopyTo(_buffer);
        (filled, at) = (filled - at, 0);
        var read = RandomAccess.Read(_file, _buffer.AsSpan(filled), position);
        Invariant.Holds(read > 0, "a staged transaction is shorter than what was written");
        position += read;
        filled += read;
    }

    T Guarded<T>(Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BackupException(
                $"a large transaction cannot be staged in {_folder}: {failure.Message}",
                "Free space there, or set capture:staging to a folder with more. Nothing is lost: the slot still holds it.", inner: failure);
        }
    }

    public void Dispose()
    {
        _file.Dispose();
        if (Interlocked.Exchange(ref _buffer, []) is { Length: > 0 } buffer)
            ArrayPool<byte>.Shared.Return(buffer);
    }
}
