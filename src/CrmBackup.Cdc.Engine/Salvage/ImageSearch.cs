using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Carves what is left of a vault out of a raw image in one sequential read. Files of ours begin on a sector, with their magic;
/// a segment ends with its footer, whose description names the hash that the content between must have. Only what has it is taken:
/// a file in several extents, or half overwritten, is reported, never half taken.</summary>
/// <param name="spool">A folder for one temporary file: from the oldest open beginning up to here.</param>
sealed class ImageSearch(Stream image, string name, string spool, int firstRows, IProgress<VerificationProgress>? progress) : IDisposable
{
    const int Sector = 512;
    const int Step = 1 << 20;
    /// <summary>What can be looked back at where nothing is spooled: footers of files whose beginning is gone.</summary>
    const int History = 8 << 20;
    /// <summary>Twice the largest segment that settle writes.</summary>
    const long SpoolBytesMax = 1L << 30;
    /// <summary>The magic can stand in the data by chance: older beginnings are tried too.</summary>
    const int BeginningsTried = 16;

    readonly byte[] _buffer = new byte[History + Step];
    readonly FileStream _file = new(Path.Combine(spool, $"salvage-{Guid.NewGuid():N}"), new FileStreamOptions
    {
        Mode = FileMode.CreateNew,
        Access = FileAccess.ReadWrite,
        Share = FileShare.ReadWrite | FileShare.Delete,
        Options = FileOptions.DeleteOnClose,
    });
    readonly List<long> _beginnings = [];
    /// <summary>Image offset of the buffer's first byte, and how many of its bytes are read.</summary>
    long _base;
    int _length;
    /// <summary>Image offset of the spool's first byte, and up to which it is filled.</summary>
    long _spoolBase;
    long _spooled;
    (long At, MemoryStream Bytes, long Length)? _schema;

    public IEnumerable<SalvagedPiece> Pieces(CancellationToken stop)
    {
        while (true)
        {
            stop.ThrowIfCancellationRequested();
            if (_length > History)
            {
                Buffer.BlockCopy(_buffer, _length - History, _buffer, 0, History);
                _base += _length - History;
                _length = History;
            }
            var from = _length;
            var read = image.ReadAtLeast(_buffer.AsSpan(from, Step), Step, throwOnEndOfStream: false);
            _length += read;
            foreach (var piece in Look(from))
                yield return piece;
            progress?.Report(new VerificationProgress(_base + _length, image.CanSeek ? image.Length : 0, name));
            if (read < Step)
                break;
        }
        foreach (var piece in Abandon(_beginnings.ToList()))
            yield return piece;
        if (_schema is { } open)
            yield return new SalvagedPiece.Fragment($"{name}@{open.At}", "a schema begins here and its end is not there");
    }

    /// <summary>What begins or ends in the bytes just read.</summary>
    IEnumerable<SalvagedPiece> Look(int from)
    {
        var schemaFrom = from;
        foreach (var (at, isSchema) in Hits(Math.Max(0, from - 3)))
        {
            if (isSchema)
            {
                if (TakeSchema(schemaFrom, at) is { } before)
                    yield return before;
                schemaFrom = Begin(at);
                continue;
            }
            if (at >= 4 && LoneSegmentReader.FooterLength(_buffer.AsSpan(at - 4, 8)) is { } length)
                foreach (var piece in End(_base + at + 4, length))
                    yield return piece;
            if ((_base + at) % Sector == 0 && BeginsWithAPage(_buffer.AsSpan(at, _length - at)) && (_beginnings.Count == 0 || _beginnings[^1] < _base + at))
            {
                if (_beginnings.Count == 0)
                    StartSpool(_base + at);
                _beginnings.Add(_base + at);
            }
        }
        if (TakeSchema(schemaFrom, _length) is { } schema)
            yield return schema;
        if (_beginnings.Count == 0)
            yield break;
        SpoolTo(_base + _length);
        if (_spooled - _spoolBase > SpoolBytesMax)
            foreach (var piece in Abandon(_beginnings.Where(beginning => _spooled - beginning > SpoolBytesMax / 2).ToList()))
                yield return piece;
    }

    List<(int At, bool IsSchema)> Hits(int from)
    {
        var hits = new List<(int, bool)>();
        for (var at = from; _buffer.AsSpan(at, _length - at).IndexOf(LoneSegmentReader.Magic) is >= 0 and var next; at += next + 1)
            hits.Add((at + next, false));
        for (var at = from; _buffer.AsSpan(at, _length - at).IndexOf(SchemaBundle.Magic) is >= 0 and var next; at += next + 1)
            if ((_base + at + next) % Sector == 0)
                hits.Add((at + next, true));
        hits.Sort();
        return hits;
    }

    /// <summary>Behind the magic stands the header of a page: its first field (0x15) is the page's type, data, dictionary or data of version 2.</summary>
    static bool BeginsWithAPage(ReadOnlySpan<byte> file) => file.Length > 5 && file[4] == 0x15 && file[5] is 0 or 4 or 6;

    /// <summary>A footer ends here: the nearest beginning before it from which the content proves itself makes a segment.</summary>
    IEnumerable<SalvagedPiece> End(long end, int footerLength)
    {
        var footerAt = end - 8 - footerLength;
        if (_beginnings.Count > 0)
            SpoolTo(end);
        if (Footer(footerAt, footerLength) is not { } footer || LoneSegmentReader.DescriptionIn(footer, name) is not { } description)
            yield break;
        foreach (var beginning in _beginnings.Where(beginning => beginning + 4 <= footerAt).Reverse().Take(BeginningsTried))
        {
            Func<Stream> open = () => new StreamWindow(OpenSpool(), beginning - _spoolBase, end - beginning);
            var found = LoneSegmentReader.Examine(open, $"{name}@{beginning}", firstRows);
            if (!found.Proven)
                continue;
            yield return new SalvagedPiece.Segment(found, open);
            foreach (var piece in Abandon(_beginnings.Where(other => other < beginning).ToList()))
                yield return piece;
            _beginnings.Clear();
            yield break;
        }
        var damaged = new LoneSegment($"{name}@{footerAt}", 0, description,
            "only its end is whole here: it lies in pieces, or is partly overwritten", Sha256.Zero, []);
        yield return new SalvagedPiece.Segment(damaged, () => throw new InvalidOperationException("a damaged segment is not read"));
        _beginnings.Clear();
    }

    IEnumerable<SalvagedPiece> Abandon(List<long> beginnings)
    {
        _beginnings.RemoveAll(beginnings.Contains);
        foreach (var beginning in beginnings)
            yield return new SalvagedPiece.Fragment($"{name}@{beginning}", "something like a segment begins here and its end is not there");
        if (_beginnings.Count == 0 || _beginnings[0] == _spoolBase)
            yield break;
        // What the abandoned ones held is given back.
        using var rest = new StreamWindow(OpenSpool(), _beginnings[0] - _spoolBase, _spooled - _beginnings[0]);
        _file.Position = 0;
        rest.CopyTo(_file);
        _file.SetLength(_spooled - _beginnings[0]);
        _spoolBase = _beginnings[0];
    }

    byte[]? Footer(long at, int length)
    {
        if (at >= _base)
            return _buffer.AsSpan((int)(at - _base), length).ToArray();
        if (_beginnings.Count == 0 || at < _spoolBase)
            return null;
        var footer = new byte[length];
        using var window = new StreamWindow(OpenSpool(), at - _spoolBase, length);
        window.ReadExactly(footer);
        return footer;
    }

    void StartSpool(long at)
    {
        _file.SetLength(0);
        (_spoolBase, _spooled) = (at, at);
    }

    void SpoolTo(long end)
    {
        if (end <= _spooled)
            return;
        _file.Position = _spooled - _spoolBase;
        _file.Write(_buffer, (int)(_spooled - _base), (int)(end - _spooled));
        _file.Flush();
        _spooled = end;
    }

    FileStream OpenSpool() => new(_file.Name, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);

    /// <returns>From where in the buffer the schema's bytes are to be taken.</returns>
    int Begin(int at)
    {
        if (_schema is null && _length - at >= SchemaBundle.HeaderLength && SchemaBundle.LengthOf(_buffer.AsSpan(at, SchemaBundle.HeaderLength)) is { } length)
            _schema = (_base + at, new MemoryStream(), length);
        return at;
    }

    /// <summary>Gives the open schema the bytes of the buffer in [from, to).</summary>
    SalvagedPiece? TakeSchema(int from, int to)
    {
        if (_schema is not { } open)
            return null;
        open.Bytes.Write(_buffer, from, (int)Math.Min(to - from, open.Length - open.Bytes.Length));
        if (open.Bytes.Length < open.Length)
            return null;
        _schema = null;
        return SchemaBundle.TryDecode(open.Bytes.GetBuffer().AsSpan(0, (int)open.Length), out var schema)
            ? new SalvagedPiece.Schema(schema) : new SalvagedPiece.Fragment($"{name}@{open.At}", "a schema begins here; it lies in pieces, or is partly overwritten");
    }

    public void Dispose() => _file.Dispose();
}
