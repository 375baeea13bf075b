"""What somebody has in memory, arrays and estimators, judged: it becomes a study, which is run as any other."""
