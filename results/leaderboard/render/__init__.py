"""A report as text: Markdown, CSV, LaTeX and JSON. ``results.leaderboard.page`` has the HTML page."""
