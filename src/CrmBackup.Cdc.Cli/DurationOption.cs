using System.CommandLine;

namespace CrmBackup.Cdc.Cli;

/// <summary>An option that takes 200ms, 60s, 5min, 1h, 1d: the words of the settings.</summary>
static class DurationOption
{
    /// <param name="otherwise">In words, for --help; the verb knows it as a value.</param>
    public static Option<TimeSpan?> New(string name, string description, string otherwise) => new(name)
    {
        HelpName = "duration",
        Description = $"{description} [default: {otherwise}]",
        CustomParser = argument =>
        {
            try
            {
                return SettingText.Duration(argument.Tokens.Count == 1 ? argument.Tokens[0].Value : "");
            }
            catch (FormatException failure)
            {
                argument.AddError($"{name}: {failure.Message}");
                return null;
            }
        },
    };
}
