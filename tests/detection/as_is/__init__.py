"""Tests of finished detectors."""
