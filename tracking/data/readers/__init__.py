"""Readers of tracking data sets: each returns the same kind of sequence."""
