"""Verbs for results: list, show, table, items, compare, verify, score."""
