"""The tracking protocols, one file each. Imports nothing, because the tasks list the names."""

TRACKING_PROTOCOLS = ("ostrack256_ce", "ostrack256", "ostrack384", "fast128", "fast64")
"""The names of all files in this folder. Each task names its default protocol first."""
