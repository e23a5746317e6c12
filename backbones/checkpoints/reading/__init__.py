"""Read the content of a weight file safely: its kind, its pickled objects, the versions of the weights in it."""
