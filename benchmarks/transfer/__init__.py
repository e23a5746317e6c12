"""Results, weights and data that travel between machines: archives, unions of stores, submissions."""
