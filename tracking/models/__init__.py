"""The one-stream tracker as a network."""
