"""Trackers in other runtimes than PyTorch: their graphs, calibration, parity, and networks for the tracker."""
