"""Readers meet files that are changed at random: any outcome is a value or one of our own errors."""
