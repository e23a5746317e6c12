"""A tracker at 64 px for backbones with patches of 8 pixels (vit_pico, vit_nano), trained from scratch on a CPU.

6,144 pairs teach no search of a wide region: this one shows twice the target's side, and size and offset are taught
where the score is highest.
"""

_base_ = "fast128.py"

version = 2

recipe = {
    "epochs": 6,
    "batch_size": 16,
    "pairs": 1024,
    "val_pairs": 128,
    "template_size": 32,
    "search_size": 64,
    "search_factor": 2.0,
    "center_jitter": 1.0,
    "scale_jitter": 0.15,
    "head_channels": 32,
    "optimizer": {"lr": 4e-3, "backbone_scale": 1.0},
    "schedule": {"end_lr": 4e-6},
    "box_loss_cell": "predicted",
}

tiers = {"short": {"epochs": 3}}
