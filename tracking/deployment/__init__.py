"""Trackers outside of PyTorch: export, parity, and runtimes behind ``tracking.inference.backend.TrackerNetwork``."""
