"""What an analysis reads: a backbone, images of a task, the layers between, and runs."""
