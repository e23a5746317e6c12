"""What a file of weights is on disk, for the rooms that read it and those that only verify it."""
