using System.Security.Cryptography;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Gathers small writes, hashes them and passes them on: what a segment's file hash is taken from. Does not own the stream
/// below, and stays usable when a Parquet writer closes it.</summary>
sealed class HashingStream(Stream below) : Stream
{
    readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    readonly byte[] _buffer = new byte[1 << 16];
    int _buffered;
    long _written;

    /// <summary>Bytes taken, buffered ones included.</summary>
    public long Written => _written;

    /// <summary>Hash of all bytes; the last call.</summary>
    public Sha256 Finish()
    {
        FlushBuffer();
        Span<byte> digest = stackalloc byte[32];
        _hash.GetHashAndReset(digest);
        _hash.Dispose();
        return Sha256.From(digest);
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        _written += buffer.Length;
        if (buffer.Length > _buffer.Length - _buffered)
            FlushBuffer();
        if (buffer.Length >= _buffer.Length)
        {
            PassOn(buffer);
            return;
        }
        buffer.CopyTo(_buffer.AsSpan(_buffered));
        _buffered += buffer.Length;
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    // The file below is a local one on its way to a segment: a write of 64 KiB does not wait long enough to be worth a state machine.
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Write(buffer.Span);
        return ValueTask.CompletedTask;
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <summary>Nothing: what is buffered goes on by <see cref="Finish"/>.</summary>
    public override void Flush()
    {
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override bool CanRead => false;
    public override bool CanSeek => false;
    public override bool CanWrite => true;
    public override long Length => _written;

    public override long Position
    {
        get => _written;
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();

    void FlushBuffer()
    {
        if (_buffered > 0)
            PassOn(_buffer.AsSpan(0, _buffered));
        _buffered = 0;
    }

    void PassOn(ReadOnlySpan<byte> bytes)
    {
        below.Write(bytes);
        _hash.AppendData(bytes);
    }
}
