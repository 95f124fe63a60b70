using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Something of a vault, found in a folder or on a raw image.</summary>
public abstract record SalvagedPiece
{
    /// <param name="Open">Its bytes; only until the search goes on.</param>
    public sealed record Segment(LoneSegment Found, Func<Stream> Open) : SalvagedPiece;

    public sealed record Schema(SalvagedSchema Found) : SalvagedPiece;

    public sealed record Identity(VaultIdentity Found) : SalvagedPiece;

    /// <summary>A beginning without its end.</summary>
    public sealed record Fragment(string Where, string What) : SalvagedPiece;
}
