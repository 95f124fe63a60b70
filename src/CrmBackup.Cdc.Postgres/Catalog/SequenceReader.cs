using System.Globalization;
using System.Text;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Reads the state of all sequences, exactly: also of those never called, which <c>pg_sequences</c> shows as NULL.
/// Keeps its statements prepared on the connection, which it does not own.</summary>
public sealed class SequenceReader(NpgsqlConnection connection) : IAsyncDisposable
{
    /// <summary>Each costs one lock while its statement runs: few enough not to be felt in the lock table.</summary>
    const int BatchSize = 100;

    readonly List<Batch> _batches = [];
    string _known = "";

    /// <summary>In order of schema and name. A sequence that somebody is dropping or replacing at the moment is left out.</summary>
    public async Task<IReadOnlyList<SequenceState>> ReadAsync(CancellationToken stop)
    {
        await RefreshAsync(stop);
        var states = new List<SequenceState>();
        foreach (var batch in _batches)
        {
            try
            {
                await ReadAsync(batch.Command, batch.Sequences, states, stop);
            }
            catch (PostgresException failure) when (IsMoving(failure))
            {
                await OneByOneAsync(batch.Sequences, states, stop);
            }
        }
        return states;
    }

    async Task RefreshAsync(CancellationToken stop)
    {
        var sequences = new List<Sequence>();
        var known = new StringBuilder();
        await using (var command = new NpgsqlCommand(ListSql, connection))
        await using (var reader = await command.ExecuteReaderAsync(stop))
            while (await reader.ReadAsync(stop))
            {
                var sequence = new Sequence(
                    reader.GetFieldValue<uint>(0), reader.GetString(1), reader.GetString(2), reader.GetInt64(3),
                    reader.IsDBNull(4) ? null : reader.GetString(4), reader.GetInt16(5));
                sequences.Add(sequence);
                known.Append(sequence).Append('\n');
            }
        if (known.ToString() == _known)
            return;
        await DisposeAsync();
        foreach (var chunk in sequences.Chunk(BatchSize))
        {
            var command = new NpgsqlCommand(Sql(chunk), connection);
            _batches.Add(new Batch(chunk, command));
        }
        _known = known.ToString();
    }

    async Task ReadAsync(NpgsqlCommand command, Sequence[] sequences, List<SequenceState> states, CancellationToken stop)
    {
        var read = new List<SequenceState>(sequences.Length);
        await using var transaction = await connection.BeginTransactionAsync(stop);
        // SELECT waits only for DROP and the like: a tenth of a second, then the sequence is left out of this sample.
        await using (var limit = new NpgsqlCommand("SET LOCAL lock_timeout = '100ms'", connection))
            await limit.ExecuteNonQueryAsync(stop);
        if (!command.IsPrepared)
            await command.PrepareAsync(stop);
        await using (var reader = await command.ExecuteReaderAsync(stop))
            while (await reader.ReadAsync(stop))
            {
                var sequence = sequences[reader.GetInt32(0)];
                read.Add(new SequenceState(
                    sequence.Schema, sequence.Name, reader.GetInt64(1).ToString(CultureInfo.InvariantCulture), reader.GetBoolean(2),
                    sequence.OwnedByTable, sequence.OwnedByColumn, sequence.Increment));
            }
        await transaction.CommitAsync(stop);
        states.AddRange(read.OrderBy(state => state.Schema, StringComparer.Ordinal).ThenBy(state => state.Name, StringComparer.Ordinal));
    }

    async Task OneByOneAsync(Sequence[] sequences, List<SequenceState> states, CancellationToken stop)
    {
        // The list is read again next time.
        _known = "";
        foreach (var sequence in sequences)
        {
            try
            {
                await using var command = new NpgsqlCommand(Sql([sequence]), connection);
                await ReadAsync(command, [sequence], states, stop);
            }
            catch (PostgresException failure) when (IsMoving(failure))
            {
                // Left out, as promised: the next sample has it, or the DDL's schema version no longer does.
            }
        }
    }

    static bool IsMoving(PostgresException failure) =>
        failure.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName
            or PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.WrongObjectType;

    static string Sql(Sequence[] sequences) => string.Join(" UNION ALL ", sequences.Select((sequence, index) =>
        $"SELECT {index}, last_value, is_called FROM {SqlText.Qualified(sequence.Schema, sequence.Name)}"));

    public async ValueTask DisposeAsync()
    {
        foreach (var batch in _batches)
            await batch.Command.DisposeAsync();
        _batches.Clear();
    }

    /// <summary>The owning column; for a sequence without owner the first column whose default calls it.</summary>
    const string ListSql = """
        SELECT c.oid, n.nspname::text, c.relname::text, s.seqincrement,
            (SELECT tn.nspname || '.' || t.relname FROM pg_class t JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE t.oid = owner.relation),
            coalesce(owner.attnum, 0)::int2
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN LATERAL (
            SELECT relation, attnum FROM (
                SELECT d.refobjid AS relation, d.refobjsubid AS attnum, 0 AS rank FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
                  AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
                UNION ALL
                SELECT a.adrelid, a.adnum, 1 FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid
                WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
            ) candidates ORDER BY rank, relation, attnum LIMIT 1) owner ON true
        WHERE c.relpersistence <> 't' AND n.nspname <> 'crmbackup'
        ORDER BY n.nspname, c.relname
        """;

    sealed record Sequence(uint Oid, string Schema, string Name, long Increment, string? OwnedByTable, short OwnedByColumn);

    sealed record Batch(Sequence[] Sequences, NpgsqlCommand Command);
}
