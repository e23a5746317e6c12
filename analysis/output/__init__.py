"""Files that an analysis writes next to its record: figures, sheets of pictures and CSV tables."""
