"""Classification sets of photographs: what each is, how it is read, and its images as network input."""
