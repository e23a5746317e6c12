"""What an analysis writes beside its record: figures, sheets of pictures and CSV tables."""
