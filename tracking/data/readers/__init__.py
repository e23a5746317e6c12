"""Readers of tracking data sets in the layouts they ship in."""
