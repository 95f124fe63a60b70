using CrmBackup.Cdc.Tests;
using CrmBackup.Cdc.Tests.Hostile;
using CrmBackup.Cdc.Tests.Simulation;

// Second processes that tests start: dotnet exec CrmBackup.Cdc.Tests.dll race-… …; simulate and fuzz for soak.sh.
return args switch
{
    [CommitRacer.Create or CommitRacer.CreateInPlace or CommitRacer.Rename, ..] => await CommitRacer.RunAsync(args),
    [Simulator.Verb, ..] => Simulator.RunArguments(args),
    [RealBytes.Verb] => await RealBytes.WriteAsync(),
    [Fuzzer.Verb, ..] => Fuzzer.RunArguments(args),
    _ => 2,
};
