"""Leaderboards made of records: tables, fronts, text and page."""
