"""Verbs about this installation and its data: get, check, cache, doctor."""
