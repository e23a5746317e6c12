"""The results of runs: records, their statistics, leaderboards and published numbers. Never imports torch."""
