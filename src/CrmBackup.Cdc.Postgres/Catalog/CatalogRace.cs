using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Functions of PostgreSQL that look into the catalog see it newer than the query that calls them: where an object is dropped just then they fail by
/// "could not open relation" or "cache lookup failed", which are internal errors to PostgreSQL. The next look does not meet the object any more.</summary>
static class CatalogRace
{
    const int Tries = 5;
    static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(50);

    /// <summary>Asks again, a few times; the last failure is thrown.</summary>
    /// <param name="ask">Changes nothing, or may be repeated. Outside of a transaction.</param>
    public static async Task<T> AskAsync<T>(Func<Task<T>> ask, TimeProvider clock, CancellationToken stop)
    {
        for (var tries = 1; ; tries++)
        {
            try
            {
                return await ask();
            }
            catch (PostgresException failure) when (tries < Tries && failure.SqlState == PostgresErrorCodes.InternalError)
            {
                await Task.Delay(_pause, clock, stop);
            }
        }
    }
}
