"""Trackers outside of PyTorch: their graphs, calibration, parity, and networks for ``tracking.inference.backend``."""
