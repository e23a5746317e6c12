"""Tracking data: sequences, boxes, crops, training pairs."""
