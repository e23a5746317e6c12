"""Following a target in a user's own video."""
