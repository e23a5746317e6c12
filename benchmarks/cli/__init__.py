"""The command line: one module per verb, each a thin layer over functions that return data."""
