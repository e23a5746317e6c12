"""Verbs for the installation, data and weights: get, check, cache, doctor."""
