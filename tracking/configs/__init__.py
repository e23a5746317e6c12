"""Protocols of tracking, one file each."""
