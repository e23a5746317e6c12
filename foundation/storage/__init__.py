"""Files on disks as they are: full, read-only, shared, and with things in them that are no files."""
