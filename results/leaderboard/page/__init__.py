"""The leaderboard as a single HTML file that works without a network, a server or any other file."""
