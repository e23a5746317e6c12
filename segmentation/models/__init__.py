"""mmseg models around a backbone of the registry."""
