"""``fast128`` at half the size, for backbones with patches of 8 pixels (vit_nano, vit_pico): a minute on a CPU."""

_base_ = "fast128.py"

recipe = {
    "epochs": 6,
    "pairs": 1024,
    "val_pairs": 128,
    "template_size": 32,
    "search_size": 64,
    "head_channels": 64,
    "optimizer": {"lr": 1e-3, "backbone_scale": 1.0},
    "schedule": {"end_lr": 1e-5},
}

tiers = {"short": {"epochs": 3}}
