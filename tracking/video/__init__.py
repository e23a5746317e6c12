"""Follow a target in a user's own video."""
