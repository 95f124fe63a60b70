using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>Tables that an extension owns, and which CREATE EXTENSION fills, with a trigger and a foreign key from the beginning.</summary>
[Collection("postgres")]
public sealed class ExtensionTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Script = """
        CREATE TABLE rates (id serial PRIMARY KEY, name text, rate numeric, own boolean DEFAULT true);
        CREATE TABLE rate_notes (rate integer REFERENCES rates, note text);
        CREATE FUNCTION rates_touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.rate := NEW.rate + 1000; RETURN NEW; END $$;
        CREATE FUNCTION rates_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'rates are kept'; END $$;
        INSERT INTO rates (name, rate, own) SELECT 'given ' || i, i, false FROM generate_series(1, 5) i;
        INSERT INTO rate_notes SELECT i, 'given' FROM generate_series(1, 5) i;
        CREATE TRIGGER touch BEFORE INSERT ON rates FOR EACH ROW EXECUTE FUNCTION rates_touch();
        CREATE TRIGGER keep BEFORE DELETE ON rates FOR EACH ROW WHEN (OLD.name LIKE 'given%') EXECUTE FUNCTION rates_keep();
        SELECT pg_extension_config_dump('rates', 'WHERE own'); SELECT pg_extension_config_dump('rates_id_seq', ''); SELECT pg_extension_config_dump('rate_notes', '');
        """;

    [FactWhere(Needs.LocalServers)]
    public async Task Rows_of_an_extensions_tables_come_back_as_they_were_and_not_as_it_makes_them()
    {
        var name = $"crm_rates_{Guid.NewGuid().ToString("n")[..8]}";
        await using var files = await ExtensionFiles.PutAsync(postgres.Server, name, Script);
        if (files is null)
        {
            output.WriteLine("the server's folder of extensions may not be written: not tested");
            return;
        }
        await using var story = await Story.BeginAsync(postgres.Server, output, $"CREATE EXTENSION {name}; INSERT INTO rates (name, rate) VALUES ('ours', 7)",
            "CREATE TABLE uses (id integer PRIMARY KEY, rate integer REFERENCES rates); INSERT INTO uses VALUES (1, 6)");
        await story.RecordAsync();
        await story.ThenAsync("UPDATE rates SET name = 'changed', rate = 0.5 WHERE id = 2", "DELETE FROM rate_notes WHERE rate = 2; DELETE FROM rates WHERE id = 2",
            "INSERT INTO rates (name, rate) VALUES ('more', 8); INSERT INTO rate_notes VALUES (7, 'ours')");
        await story.ThenAsync("DELETE FROM uses", $"DROP EXTENSION {name} CASCADE");
        await story.ThenAsync($"CREATE EXTENSION {name}", "UPDATE rates SET name = name || '!' WHERE id > 3; INSERT INTO rates (name, rate) VALUES ('again', 1)");
        await story.MustComeBackAsync();
        // Where they are not restored they are as CREATE EXTENSION made them.
        var restored = await story.Crm.RestoreAsync("latest", "--table", "public.uses");
        Assert.Equal(5, (await TrueState.OfAsync(restored)).Tables["public.rates"].Split(' ') is [var rows, ..] ? int.Parse(rows) : 0);
    }

    /// <summary>A control file and a script among the server's own.</summary>
    sealed class ExtensionFiles(string[] paths) : IAsyncDisposable
    {
        /// <returns>Null where that folder may not be written.</returns>
        public static async Task<ExtensionFiles?> PutAsync(PostgresServer server, string name, string script)
        {
            var folder = Path.Combine((string)(await server.ExecuteAsync("SELECT setting FROM pg_config() WHERE name = 'SHAREDIR'"))!, "extension");
            string[] paths = [Path.Combine(folder, $"{name}.control"), Path.Combine(folder, $"{name}--1.0.sql")];
            try
            {
                await File.WriteAllTextAsync(paths[0], "default_version = '1.0'\nrelocatable = false\nschema = public\n");
                await File.WriteAllTextAsync(paths[1], script);
                return new ExtensionFiles(paths);
            }
            catch (UnauthorizedAccessException)
            {
                return null;
            }
        }

        public ValueTask DisposeAsync()
        {
            foreach (var path in paths)
                File.Delete(path);
            return ValueTask.CompletedTask;
        }
    }
}
