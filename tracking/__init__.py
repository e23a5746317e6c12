"""A use of a backbone: train a one-stream tracker, score it on LaSOT, export it, and track targets in videos."""
