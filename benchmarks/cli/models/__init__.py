"""Verbs about models: profile, export, track, add."""
