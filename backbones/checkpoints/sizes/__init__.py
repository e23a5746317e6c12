"""Resample what depends on the input size: position embeddings, relative-position tables, patches."""
