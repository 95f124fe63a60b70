Console.Error.WriteLine("crmbackup: no command"); return 2;
