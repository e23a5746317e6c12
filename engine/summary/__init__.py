"""What a person judges a data set by: facts of its files, repeated items, and a sheet of samples."""
