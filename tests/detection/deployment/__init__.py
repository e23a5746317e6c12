"""Tests of exported detectors."""
