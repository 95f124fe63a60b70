using System.Globalization;

namespace CrmBackup.Cdc.Core;

/// <summary>A commit time as the source's clock gave it, in microseconds since 1970-01-01 UTC. Runs backwards at times:
/// order events by position, never by this.</summary>
public readonly record struct SourceTime(long UnixMicroseconds) : IComparable<SourceTime>
{
    /// <summary>PostgreSQL counts from 2000-01-01.</summary>
    const long PostgresEpoch = 946_684_800_000_000;

    public static SourceTime FromPostgres(long microseconds) => new(microseconds + PostgresEpoch);

    public static SourceTime From(DateTimeOffset time) =>
        new((time.UtcTicks - DateTimeOffset.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond);

    /// <summary>The nearest moment that .NET knows: PostgreSQL's years go beyond 9999.</summary>
    public DateTimeOffset ToDateTimeOffset() => DateTimeOffset.UnixEpoch.AddTicks(TimeSpan.TicksPerMicrosecond * Math.Clamp(UnixMicroseconds,
        From(DateTimeOffset.MinValue).UnixMicroseconds, From(DateTimeOffset.MaxValue).UnixMicroseconds));

    public int CompareTo(SourceTime other) => UnixMicroseconds.CompareTo(other.UnixMicroseconds);

    public static bool operator <(SourceTime left, SourceTime right) => left.UnixMicroseconds < right.UnixMicroseconds;
    public static bool operator >(SourceTime left, SourceTime right) => left.UnixMicroseconds > right.UnixMicroseconds;
    public static bool operator <=(SourceTime left, SourceTime right) => left.UnixMicroseconds <= right.UnixMicroseconds;
    public static bool operator >=(SourceTime left, SourceTime right) => left.UnixMicroseconds >= right.UnixMicroseconds;

    /// <summary>For example 2026-11-22 10:00:00.123456+00, as PostgreSQL prints it under UTC.</summary>
    public override string ToString() =>
        ToDateTimeOffset().ToString("yyyy-MM-dd HH:mm:ss.ffffff+00", CultureInfo.InvariantCulture);
}
