"""The words of a command line: numbers within a range, and words that can be names and paths."""
