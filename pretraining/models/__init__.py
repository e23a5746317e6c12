"""Network parts used by several pre-training methods."""
