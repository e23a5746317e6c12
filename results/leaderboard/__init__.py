"""Leaderboards built from records: boards, Pareto fronts, and their output as text and as a page."""
