"""One reader a data set: a folder in the layout the set ships in, to lists of images and labels."""
