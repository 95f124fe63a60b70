using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class SqlStatementsTests
{
    [Theory]
    [InlineData("a; b;", "a", "b")]
    [InlineData("  ;; ;\n-- nothing; here\n/* or; /* here; */ */", new string[0])]
    [InlineData("-- Name: x; Type: TABLE\nCREATE TABLE x (a int); -- the end;\nb", "CREATE TABLE x (a int)", "b")]
    [InlineData("SELECT 'a;b', 'it''s;', \"co;l\"\"umn;\"; c", "SELECT 'a;b', 'it''s;', \"co;l\"\"umn;\"", "c")]
    [InlineData(@"SELECT 'ends in \'; c", @"SELECT 'ends in \'", "c")]
    [InlineData(@"SELECT E'it\'s; \\'';', e'\\'; c", @"SELECT E'it\'s; \\'';', e'\\'", "c")]
    [InlineData(@"SELECT name'x\'; c", @"SELECT name'x\'", "c")]
    [InlineData("AS $$ a; $b$ $$; c", "AS $$ a; $b$ $$", "c")]
    [InlineData("AS $fn$ a; $$ ; $fn2$ $fn$; c", "AS $fn$ a; $$ ; $fn2$ $fn$", "c")]
    [InlineData("SELECT a$b$c, $1, x$$y; c", "SELECT a$b$c, $1, x$$y", "c")]
    [InlineData("CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b;); c",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b;)", "c")]
    [InlineData("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 ELSE 2 END; END; c",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 ELSE 2 END; END", "c")]
    [InlineData("BEGIN; END; begin\n atomic; x; end", "BEGIN", "END", "begin\n atomic; x; end")]
    [InlineData("SELECT 1 -- it's; fine\n, 2 /* ' ; */; c", "SELECT 1 -- it's; fine\n, 2 /* ' ; */", "c")]
    [InlineData("COMMENT ON TABLE \"Ünï;\" IS U&'d\\0061t; +;'; c", "COMMENT ON TABLE \"Ünï;\" IS U&'d\\0061t; +;'", "c")]
    public void A_semicolon_ends_a_statement_only_outside_of_everything(string script, params string[] statements) =>
        Assert.Equal(statements, SqlStatements.Split(script));

    [Theory]
    [InlineData("SELECT 'open")]
    [InlineData("SELECT \"open")]
    [InlineData("AS $a$ open $A$")]
    [InlineData("/* open /* */")]
    [InlineData("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;")]
    [InlineData("SELECT (1; c")]
    [InlineData("\\connect postgres")]
    public void What_does_not_end_or_is_psqls_is_refused(string script) =>
        Assert.Throws<FormatException>(() => SqlStatements.Split(script));
}
