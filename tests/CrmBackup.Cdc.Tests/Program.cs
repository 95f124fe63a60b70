using CrmBackup.Cdc.Tests;

// Second processes that tests start: dotnet exec CrmBackup.Cdc.Tests.dll race-… …
return args is [CommitRacer.Create or CommitRacer.CreateInPlace or CommitRacer.Rename, ..]
    ? await CommitRacer.RunAsync(args) : 2;
