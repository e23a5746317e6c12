"""Several processes that share a run: what started them, and the layers that make them compute what one would."""
