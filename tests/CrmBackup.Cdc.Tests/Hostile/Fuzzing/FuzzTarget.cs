using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>A decoder, and the changes of its input that come further than flipped bits do. Everything follows from the seed and the corpus.</summary>
abstract class FuzzTarget
{
    public static IReadOnlyList<FuzzTarget> All { get; } = [new BlockTarget(), new PgOutputTarget(), new CommitTarget(), new SegmentTarget()];

    public abstract string Name { get; }

    /// <summary>How many mutations the default run makes: one or two seconds of work.</summary>
    public abstract int UsualRounds { get; }

    /// <summary>Reads the bytes to their end, with all that is concluded from them.</summary>
    /// <returns>False when they were refused by name. Any other exception is a failure.</returns>
    public abstract bool Read(byte[] bytes);

    public abstract byte[] Mutate(Random random, IReadOnlyList<byte[]> corpus);

    protected static T Of<T>(Random random, IReadOnlyList<T> some) => some[random.Next(some.Count)];

    protected static bool Accepts(Action read)
    {
        try
        {
            read();
            return true;
        }
        catch (BackupException)
        {
            return false;
        }
    }
}
