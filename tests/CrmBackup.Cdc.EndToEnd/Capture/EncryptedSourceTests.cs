using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;
using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>TLS and passwords are Npgsql's, end to end, through the relay.</summary>
public sealed class EncryptedSourceTests
{
    [TheoryWhere(Needs.LocalServers)]
    [InlineData(SslMode.Require, true)]
    [InlineData(SslMode.VerifyCA, true)]
    [InlineData(SslMode.VerifyFull, false)]
    public async Task A_source_with_TLS_and_a_password_file_is_read(SslMode mode, bool relayed)
    {
        // A server in a container cannot see our files.
        var folder = Directory.CreateTempSubdirectory("crmbackup-tls-").FullName;
        File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
        await MakeCertificateAsync(folder);
        await File.WriteAllTextAsync(Path.Combine(folder, "hba"), """
            local all all trust
            hostnossl all postgres 127.0.0.1/32 trust
            hostssl all,replication backup 127.0.0.1/32 scram-sha-256

            """);
        try
        {
            await using var server = await PostgresServer.StartAsync(new Dictionary<string, string>
            {
                ["ssl"] = "on",
                ["ssl_cert_file"] = Path.Combine(folder, "cert.pem"),
                ["ssl_key_file"] = Path.Combine(folder, "key.pem"),
                ["hba_file"] = Path.Combine(folder, "hba"),
            });
            await using var source = await CaptureSource.PreparedAsync(server, "CREATE TABLE t (id int PRIMARY KEY)");
            await server.ExecuteAsync("CREATE ROLE backup LOGIN SUPERUSER PASSWORD 'a:b c'");
            await File.WriteAllTextAsync(Path.Combine(folder, "pgpass"), "127.0.0.1:*:*:backup:a\\:b c\n");
            File.SetUnixFileMode(Path.Combine(folder, "pgpass"), UnixFileMode.UserRead | UnixFileMode.UserWrite);
            var options = source.Options();
            options.Source.Username = "backup";
            options.Source.Passfile = Path.Combine(folder, "pgpass");
            options.Source.SslMode = mode;
            if (mode != SslMode.Require)
                options.Source.RootCertificate = Path.Combine(folder, "cert.pem");
            var log = new Heard();
            await using var listener = new Listener(options, logger: log);
            await listener.StartAsync();
            await source.CrmAsync("INSERT INTO t SELECT generate_series(1, 5000)");
            await listener.CaughtUpAsync(source);
            Assert.True(await source.AskAsync<bool>("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)"));
            Assert.Equal(relayed, !log.Events.Contains(1001));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    static async Task MakeCertificateAsync(string folder)
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=crmbackup test", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(System.Net.IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        var now = TimeProvider.System.GetUtcNow();
        using var certificate = request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
        await File.WriteAllTextAsync(Path.Combine(folder, "cert.pem"), certificate.ExportCertificatePem());
        var path = Path.Combine(folder, "key.pem");
        await File.WriteAllTextAsync(path, key.ExportPkcs8PrivateKeyPem());
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        if (Environment.UserName == "root")
            await Command.RunAsync("chown", "postgres", path);
    }

    sealed class Heard : ILogger
    {
        public System.Collections.Concurrent.ConcurrentQueue<int> Events { get; } = new();

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Events.Enqueue(eventId.Id);
    }
}
