"""The network of the one-stream tracker: a plain ViT over template and search region, the center head, the losses."""
