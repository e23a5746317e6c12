"""Backbones: cards, architectures, checkpoint loading, features, conformance checks, and cost."""
