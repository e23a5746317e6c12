"""Image classification with a backbone: fine-tuning, linear probes, k-NN and low-shot."""
