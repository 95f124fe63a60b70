using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Puts rows into one table by COPY. The rows are there when <see cref="CompleteAsync"/> returns; disposed before, none is.</summary>
public sealed class TableLoader : IAsyncDisposable
{
    readonly NpgsqlCopyTextWriter _copy;
    readonly CopyTextLine _lines = new();
    readonly string _table;
    bool _ended;

    TableLoader(NpgsqlCopyTextWriter copy, string table) => (_copy, _table) = (copy, table);

    /// <param name="connection">Canonical, and busy until the loader is disposed.</param>
    /// <param name="columns">In the order of the tuples.</param>
    public static async Task<TableLoader> OpenAsync(
        NpgsqlConnection connection, string schema, string table, IEnumerable<string> columns, CancellationToken stop)
    {
        var list = string.Join(", ", columns.Select(SqlText.Identifier));
        var name = SqlText.Qualified(schema, table);
        try
        {
            return new TableLoader(await connection.BeginTextImportAsync(
                $"COPY {name} {(list.Length > 0 ? $"({list}) " : "")}FROM STDIN", stop), $"{schema}.{table}");
        }
        catch (PostgresException failure)
        {
            throw InWords(failure, $"{schema}.{table}");
        }
    }

    /// <summary>Adds a row; it goes on its way with the next <see cref="FlushAsync"/>.</summary>
    public void Add(ReadOnlySpan<byte> tuple) => _lines.Add(tuple);

    public async ValueTask FlushAsync(CancellationToken stop)
    {
        try
        {
            // The writer's own encoder would go through UTF-16.
            await _copy.BaseStream.WriteAsync(_lines.Bytes, stop);
        }
        catch (PostgresException failure)
        {
            _ended = true;
            throw InWords(failure, _table);
        }
        _lines.Clear();
    }

    public async Task CompleteAsync(CancellationToken stop)
    {
        await FlushAsync(stop);
        _ended = true;
        try
        {
            await _copy.DisposeAsync();
        }
        catch (PostgresException failure)
        {
            throw InWords(failure, _table);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_ended)
            return;
        _ended = true;
        try
        {
            await _copy.CancelAsync();
        }
        catch (Exception failure) when (failure is NpgsqlException or ObjectDisposedException or InvalidOperationException)
        {
            // The connection is gone, and the rows with it: the error that led here is the one to be told.
        }
    }

    static BackupException InWords(PostgresException failure, string table) => new(
        $"{table} cannot be loaded: {failure.MessageText}{(failure.Where is { Length: > 0 } where ? $" ({where})" : "")}",
        failure.Hint ?? "The target's types or settings may differ from the source's.", ExitCode.Failed, failure);
}
