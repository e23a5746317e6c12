"""Tests of what goes wrong around the loading of items."""
