"""Make a card of a weight file: its architecture, what lies beside it, and what its images are normalized with."""
