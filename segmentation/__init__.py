"""Semantic segmentation with a backbone: UperNet, Semantic FPN and a linear layer, by mmsegmentation."""
