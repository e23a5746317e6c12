"""Read a user's own sequences in the layouts that people have: which files belong together, and what they say."""
