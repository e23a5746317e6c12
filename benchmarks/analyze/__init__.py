"""``bench analyze WHAT``: backbones, images and runs brought to the analyses."""
