"""Verbs for models: profile, export, track, add."""
