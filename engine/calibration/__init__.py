"""Time a few steps of a real run, to say what a complete one will take."""
