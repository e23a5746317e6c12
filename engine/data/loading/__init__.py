"""What goes wrong around the loading of items: decoders that write on stderr, workers that die."""
