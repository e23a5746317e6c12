"""Readers used by several tasks: image files, CIFAR, scikit-learn's digits and embedded photographs."""
