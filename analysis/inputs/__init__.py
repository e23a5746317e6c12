"""Inputs of an analysis: backbones, images of a task, representations of layers, and runs."""
