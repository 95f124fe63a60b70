Console.Error.WriteLine("name a benchmark"); return 2;
