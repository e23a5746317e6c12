"""Readers that several uses share: image files, CIFAR, scikit-learn's digits."""
