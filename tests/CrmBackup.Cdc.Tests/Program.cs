using CrmBackup.Cdc.Tests;

// Second processes that tests start: dotnet exec CrmBackup.Cdc.Tests.dll race-create|race-rename …
return args is [CommitRacer.Create or CommitRacer.Rename, ..] ? await CommitRacer.RunAsync(args) : 2;
