"""What happens to bad input: one sentence, an exit code, and nothing written."""
