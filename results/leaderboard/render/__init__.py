"""A report as text: Markdown, CSV, LaTeX, JSON. The page is next door, in ``results.leaderboard.page``."""
