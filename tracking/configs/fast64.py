"""A tracker at 64 px for backbones with patches of 8 pixels (vit_pico, vit_nano), trained from scratch on a CPU.

It tests that training, tracking and scoring work together, and not the quality of a backbone. 6,144 pairs are too few
to learn to search a wide region. Therefore the search region is only twice as wide as the target, and size and offset
are trained at the cell with the highest score.
"""

_base_ = "fast128.py"

version = 2

# what is not named here (geometry, clip_grad, training set, ...) is as in fast128
recipe = {
    "epochs": 6,
    "batch_size": 16,
    "pairs": 1024,
    "val_pairs": 128,
    "template_size": 32,
    "search_size": 64,
    # the narrow search region, and jitter that keeps the target within it
    "search_factor": 2.0,
    "center_jitter": 1.0,
    "scale_jitter": 0.15,
    # a light head: with 256 channels it would cost more than these backbones
    "head_channels": 32,
    # from scratch, the backbone needs the full learning rate too
    "optimizer": {"lr": 4e-3, "backbone_scale": 1.0},
    "schedule": {"end_lr": 4e-6},
    # as in OSTrack; see above
    "box_loss_cell": "predicted",
}

tiers = {"short": {"epochs": 3}}
