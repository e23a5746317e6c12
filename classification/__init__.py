"""A use of a backbone: fine-tuning, linear probe, k-NN, low-shot."""
