"""One module a verb of the command line; each a thin shell over functions that return data."""
