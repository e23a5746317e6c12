"""Finished segmentation models, tested and used as they are."""
