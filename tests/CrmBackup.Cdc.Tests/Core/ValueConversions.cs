using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>Rule 14: the text of older values as the newest schema writes it.</summary>
public sealed class ValueConversions
{
    static readonly EnumRule _old = new([new(1, "lead"), new(2, "a \"b\"")]);
    static readonly EnumRule _new = new([new(1, "{open, new}"), new(2, "lead"), new(3, "more")]);

    [Theory]
    [InlineData("lead", "{open, new}")]
    [InlineData("a \"b\"", "lead")]
    [InlineData("unknown", "unknown")]
    public void Labels_are_found_by_what_they_were(string text, string expected) => Assert.Equal(expected, Convert(_old, _new, text));

    [Theory]
    [InlineData("{}", "{}")]
    [InlineData("[0:1]={lead,NULL}", "[0:1]={\"{open, new}\",NULL}")]
    [InlineData("{{lead,\"a \\\"b\\\"\"},{NULL,lead}}", "{{\"{open, new}\",lead},{NULL,\"{open, new}\"}}")]
    public void Elements_keep_their_places_and_bounds(string text, string expected) =>
        Assert.Equal(expected, Convert(new ArrayRule(_old), new ArrayRule(_new), text));

    [Theory]
    [InlineData("empty", "empty")]
    [InlineData("(,)", "(,)")]
    [InlineData("[lead,\"a \"\"b\"\"\")", "[\"{open, new}\",lead)")]
    public void Bounds_of_ranges(string text, string expected) => Assert.Equal(expected, Convert(new RangeRule(_old), new RangeRule(_new), text));

    [Fact]
    public void Ranges_in_a_multirange() =>
        Assert.Equal("{(,lead),[\"{open, new}\",)}", Convert(new MultirangeRule(_old), new MultirangeRule(_new), "{(,\"a \"\"b\"\"\"),[lead,)}"));

    [Theory]
    [InlineData("(1,\"x, \"\"y\"\"\",lead)", "(\"x, \"\"y\"\"\",\"{open, new}\",)")]
    [InlineData("(,\"\",)", "(\"\",,)")]
    public void Attributes_come_and_go_by_number(string text, string expected) => Assert.Equal(expected, Convert(
        new CompositeRule([new(1), new(2), new(3, _old)]), new CompositeRule([new(2), new(3, _new), new(4)]), text));

    [Theory]
    [InlineData(1114, 1184, "2024-02-29 12:00:00.5", "2024-02-29 12:00:00.5+00")]
    [InlineData(1114, 1184, "0044-03-15 12:00:00 BC", "0044-03-15 12:00:00+00 BC")]
    [InlineData(1114, 1184, "-infinity", "-infinity")]
    [InlineData(1184, 1114, "0044-03-15 12:00:00+00 BC", "0044-03-15 12:00:00 BC")]
    [InlineData(23, 26, "-1", "4294967295")]
    [InlineData(26, 23, "4294967295", "-1")]
    [InlineData(650, 869, "10.1.2.3/32", "10.1.2.3")]
    [InlineData(650, 869, "::1/128", "::1")]
    [InlineData(650, 869, "10.0.0.0/8", "10.0.0.0/8")]
    public void A_type_changed_without_a_rewrite(uint from, uint to, string text, string expected)
    {
        var (before, after) = (Column(null) with { TypeOid = from }, Column(null) with { TypeOid = to });
        Assert.True(ValueConversion.IsKnown(before, after));
        Assert.Equal(expected, ValueConversion.Between([before], [after])!.Convert(text));
    }

    [Fact]
    public void A_transaction_under_way_still_wrote_the_old_label() =>
        Assert.Equal("{open, new}", ValueConversion.Between([Column(new EnumRule([new(1, "{open, new}")])), Column(_old)], [])!.Convert("lead"));

    [Fact]
    public void What_nothing_changed_costs_nothing_and_what_nobody_can_tell_is_known_to_be_so()
    {
        Assert.Null(ValueConversion.Between([Column(_old)], [Column(new EnumRule([.. _old.Labels]))]));
        Assert.False(ValueConversion.IsKnown(Column(null) with { TypeOid = 2205 }, Column(null) with { TypeOid = 26 }));
    }

    static string Convert(ValueRule from, ValueRule to, string text) => ValueConversion.Between([Column(from)], [Column(to)])!.Convert(text);

    static ColumnShape Column(ValueRule? rule) => new(1, "c", 20000, -1, "public.t", false, null, rule);
}
