"""D-MAE (not decoupled) on the papers' Hiera."""

_base_ = ["mae_hiera_lite.py"]

source = "arXiv 2404.12210, hiera_mae_distill_exp.py: logits of the last blocks (12 and 24 of Hiera-Base), weight 1"
