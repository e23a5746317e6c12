"""Probes of frozen features: k-NN, linear, low-shot."""
