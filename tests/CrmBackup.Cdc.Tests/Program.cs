using CrmBackup.Cdc.Tests;
using CrmBackup.Cdc.Tests.Simulation;

// Second processes that tests start: dotnet exec CrmBackup.Cdc.Tests.dll race-… …; and simulate FIRST..LAST for soak.sh.
return args switch
{
    [CommitRacer.Create or CommitRacer.CreateInPlace or CommitRacer.Rename, ..] => await CommitRacer.RunAsync(args),
    [Simulator.Verb, ..] => Simulator.RunArguments(args),
    _ => 2,
};
