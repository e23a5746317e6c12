"""Statistics of records: intervals, paired tests, ranks."""
