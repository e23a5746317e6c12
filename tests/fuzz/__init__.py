"""Fuzz targets: readers that get made-up bytes for some time; ``make soak`` runs them."""
