"""Probes on frozen features: k-NN, linear and low-shot classifiers."""
