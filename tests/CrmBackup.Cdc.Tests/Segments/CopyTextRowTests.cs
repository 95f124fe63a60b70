using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests.Segments;

public sealed class CopyTextRowTests
{
    [Theory]
    [InlineData("1\tabc", new[] { "1", "abc" })]
    [InlineData("\\N\t", new[] { null, "" })]
    [InlineData("\\\\N\ta\\\\", new[] { "\\N", "a\\" })]
    [InlineData("a\\tb\\nc\\rd\\be\\ff\\vg\t\\\\\\\\x", new[] { "a\tb\nc\rd\be\ff\vg", "\\\\x" })]
    [InlineData("", new[] { "" })]
    [InlineData("", new string[0])]
    public void A_copy_line_becomes_the_tuple_that_the_stream_would_carry(string line, string?[] columns) =>
        Assert.Equal(columns, Given.Texts(CopyTextRow.ToTuple(Encoding.UTF8.GetBytes(line), columns.Length, new TupleWriter())));

    [Theory]
    [InlineData("1\t2", 1)]
    [InlineData("1", 2)]
    [InlineData("1", 0)]
    [InlineData("a\\", 1)]
    [InlineData("a\\q", 1)]
    public void A_line_that_is_not_understood_is_refused(string line, int columns) =>
        Assert.Throws<FormatViolationException>(() => CopyTextRow.ToTuple(Encoding.UTF8.GetBytes(line), columns, new TupleWriter()).Length);
}
