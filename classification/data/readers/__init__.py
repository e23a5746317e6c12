"""One reader per data set: it turns a folder in the official layout into lists of images and labels."""
