"""Verbs for results: list, show, table, compare, verify, score."""
