"""One file per protocol: version, source, expected results and recipe."""
