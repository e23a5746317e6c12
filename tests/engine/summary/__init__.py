"""Tests of what a person judges a data set by."""
