using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>One PostgreSQL for the whole run: every test makes its own database, and drops its slots (<see cref="PostgresServer.DropDatabaseAsync"/>).
/// Whoever kills or stops the server starts one of their own.</summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    static readonly Lazy<Task<PostgresServer>> _shared = new(() => PostgresServer.StartAsync());

    public PostgresServer Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await _shared.Value;

    public Task DisposeAsync() => Task.CompletedTask;
}

/// <summary>One RabbitMQ for the whole run: every test uses names of its own.</summary>
public sealed class RabbitFixture : IAsyncLifetime
{
    static readonly Lazy<Task<RabbitServer>> _shared = new(() => RabbitServer.StartAsync());

    public RabbitServer Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await _shared.Value;

    public Task DisposeAsync() => Task.CompletedTask;
}

[CollectionDefinition("postgres")]
public sealed class PostgresCollection : ICollectionFixture<PostgresFixture>;

[CollectionDefinition("rabbit")]
public sealed class RabbitCollection : ICollectionFixture<RabbitFixture>;

/// <summary>For tests of both transports.</summary>
[CollectionDefinition("servers")]
public sealed class ServersCollection : ICollectionFixture<PostgresFixture>, ICollectionFixture<RabbitFixture>;

/// <summary>The same, side by side with them.</summary>
[CollectionDefinition("main job")]
public sealed class MainJobCollection : ICollectionFixture<PostgresFixture>, ICollectionFixture<RabbitFixture>;

[CollectionDefinition("lifecycle")]
public sealed class LifecycleCollection : ICollectionFixture<PostgresFixture>, ICollectionFixture<RabbitFixture>;

[CollectionDefinition("vault away")]
public sealed class VaultAwayCollection : ICollectionFixture<PostgresFixture>, ICollectionFixture<RabbitFixture>;

[CollectionDefinition("damage")]
public sealed class DamageCollection : ICollectionFixture<PostgresFixture>, ICollectionFixture<RabbitFixture>;
