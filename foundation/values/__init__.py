"""What a value may be, whoever gives it."""
