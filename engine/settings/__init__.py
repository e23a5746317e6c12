"""What a setting may be, and how it is read from the command line."""
