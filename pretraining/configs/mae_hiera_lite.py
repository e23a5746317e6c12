"""MAE on the papers' Hiera: 40 % of the mask units are masked, scales are fused, positions are learned."""

_base_ = ["mae.py"]

source = "arXiv 2404.12210, hiera_mae_exp.py: mask 0.4 of 8x8 mask units (29 of 49 stay), decoder 96-d of one block"

# 29 of 49 mask units stay visible: 49 x (1 - 0.4), rounded down
recipe = {"mask_ratio": 0.4, "positions": "learned", "decoder": {"width": 96, "heads": 3}}
