using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>A dump taken apart by the comments of pg_restore, with later definitions in the place of what they define.</summary>
public sealed class SchemaUnitsTests
{
    const string Before = """
        SET statement_timeout = 0;
        SELECT pg_catalog.set_config('search_path', '', false);

        --
        -- TOC entry 7 (class 1255 OID 30)
        -- Name: f(); Type: FUNCTION; Schema: public; Owner: postgres
        --

        CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $$ SELECT '
        -- TOC entry 9 (class 1 OID 1)
        -- Name: x; Type: TABLE; Schema: public; Owner: y
        ' $$;


        ALTER FUNCTION public.f() OWNER TO postgres;

        SET default_tablespace = fast;

        SET default_table_access_method = heap;

        --
        -- TOC entry 3 (class 1259 OID 10)
        -- Name: t; Type: TABLE; Schema: public; Owner: postgres
        --

        CREATE TABLE public.t (a integer);

        --
        -- TOC entry 4 (class 0 OID 0)
        -- Dependencies: 3
        -- Name: TABLE t; Type: COMMENT; Schema: public; Owner: postgres
        --

        COMMENT ON TABLE public.t IS 'said';

        --
        -- TOC entry 5 (class 1259 OID 11)
        -- Name: u; Type: TABLE; Schema: public; Owner: postgres
        --

        CREATE TABLE public.u (a integer);

        --
        -- TOC entry 8 (class 0 OID 0)
        -- Dependencies: 5 3
        -- Name: u; Type: TABLE ATTACH; Schema: public; Owner: postgres
        --

        ALTER TABLE ONLY public.t ATTACH PARTITION public.u DEFAULT;
        """;
    const string After = """
        --
        -- TOC entry 6 (class 1259 OID 12)
        -- Dependencies: 3
        -- Name: i; Type: INDEX; Schema: public; Owner: postgres
        --

        CREATE INDEX i ON public.t USING btree (a);
        """;
    const string Parts = """{"parts": {"1259:12": "1259:10"}, "relations": [["public", "u", "1259:11"]], "schemas": {"public": "2615:2200"}}""";

    static SchemaUnits Units() => SchemaUnits.Of(new Dictionary<string, byte[]>
    {
        ["pre-data.sql"] = Encoding.UTF8.GetBytes(Before),
        ["post-data.sql"] = Encoding.UTF8.GetBytes(After),
        [SchemaUnits.PartsFile] = Encoding.UTF8.GetBytes(Parts),
    })!;

    static IEnumerable<string> Statements(SchemaUnits units, bool post) =>
        units.Entries(post).SelectMany(entry => entry.Statements.Select(statement => statement.Split('\n')[0]));

    [Fact]
    public void A_dump_is_taken_apart_and_comes_together_again()
    {
        var units = Units();

        Assert.Equal(["SET statement_timeout = 0", "SELECT pg_catalog.set_config('search_path', '', false)"], units.Preamble);
        Assert.Equal(["CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $$ SELECT '", "ALTER FUNCTION public.f() OWNER TO postgres",
            "CREATE TABLE public.t (a integer)", "CREATE TABLE public.u (a integer)", "ALTER TABLE ONLY public.t ATTACH PARTITION public.u DEFAULT",
            "COMMENT ON TABLE public.t IS 'said'"], Statements(units, post: false));
        Assert.Equal("fast", units.Entries(post: false)[1].Tablespace);
        Assert.Equal("CREATE INDEX i ON public.t USING btree (a)", Assert.Single(Statements(units, post: true)));
    }

    [Fact]
    public void A_table_that_is_told_anew_takes_the_place_of_all_its_parts()
    {
        var units = Units();
        units.Apply(new SchemaChange(Units: [new ObjectDefinition(1259, 10, [],
            [new DefinitionEntry("TABLE", 1259, 10, ["CREATE TABLE public.t (b integer)"])])]));

        Assert.DoesNotContain("COMMENT ON TABLE public.t IS 'said'", Statements(units, post: false));
        Assert.Contains("CREATE TABLE public.t (b integer)", Statements(units, post: false));
        Assert.DoesNotContain("CREATE TABLE public.t (a integer)", Statements(units, post: false));
        Assert.Contains("ALTER TABLE ONLY public.t ATTACH PARTITION public.u DEFAULT", Statements(units, post: false));
        Assert.Empty(Statements(units, post: true));
    }

    [Fact]
    public void What_is_dropped_is_gone_an_index_also_by_its_name()
    {
        var units = Units();
        units.Apply(new SchemaChange(Gone: ["1259:11", "1259:99"], GoneIndexes: [["public", "i"]]));

        Assert.DoesNotContain("public.u", string.Join(' ', Statements(units, post: false)));
        Assert.Empty(Statements(units, post: true));
    }

    [Fact]
    public void A_dump_without_names_of_entries_cannot_be_folded() =>
        Assert.Null(SchemaUnits.Of(new Dictionary<string, byte[]> { ["pre-data.sql"] = [], ["post-data.sql"] = [] }));
}
