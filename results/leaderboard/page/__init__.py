"""The leaderboard as an HTML page that works without a network or a server: ``index.html`` and its pictures."""
