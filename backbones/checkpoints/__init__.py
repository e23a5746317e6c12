"""A weight file on its way into a model: read safely, recognised, renamed, resized, accounted for."""
