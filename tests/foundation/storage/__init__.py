"""Tests of the text and the names that people give."""
