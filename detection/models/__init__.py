"""The detector: plain ViT with windows, pyramids, region proposals, box and mask heads."""
