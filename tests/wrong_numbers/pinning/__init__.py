"""What each protocol computes on tiny data, and how it is compared with the numbers pinned beside its config file."""
