"""Finished detectors, tested and used as they are."""
