"""Segmentation data sets: layouts, labels, readers."""
