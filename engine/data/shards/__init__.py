"""Images in tar archives, read in place: the places of the members, and the image set that they make."""
