"""Verbs about what came out: list, show, table, compare, verify, score."""
