"""What came out: records, store, statistics, leaderboards, published numbers. Imports no torch."""
