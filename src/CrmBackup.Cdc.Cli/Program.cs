using CrmBackup.Cdc.Cli;

FailPoints.FromEnvironment();
using var stop = new StopSignals();
return await CommandLine.RunAsync(args, new Terminal(Console.Out, Console.Error), stop.Token);
