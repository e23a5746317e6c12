"""Tracking data: readers of sequences, boxes, crops, and samplers of training pairs."""
