"""Network parts that the pre-training methods share."""
