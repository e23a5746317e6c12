"""A use of a backbone: one-stream tracker, LaSOT scoring, deployment."""
