"""What only a machine with a CUDA device can check: ``make gpu`` runs it and writes one report."""
