"""Protocols as readable config files: recipe, source and expected result side by side."""
