"""Protocols of tracking, one file each. Imports nothing: the tasks list the names."""

TRACKING_PROTOCOLS = ("ostrack256_ce", "ostrack256", "ostrack384", "fast128", "fast64")
"""Every file of this folder; a task names its default protocol first."""
