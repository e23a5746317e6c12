"""Read the images of a user: which folder is a split, which a class, and which file has which label."""
