"""A small version of coco_vitdet for mini_coco, the demo and the tests."""

_base_ = ["coco_vitdet.py"]

version = 2

source = "ours: the parts of coco_vitdet at a size for vit_nano and two CPU cores, with shallow heads"

# box and mask AP in %, seed 0 on one CPU thread; an untrained model reaches 0.0
expected = {"_delete_": True, "vit_nano": {"box_AP": 3.4, "mask_AP": 4.3, "tolerance": 3.0}}

recipe = {
    "iterations": 100,
    "batch_size": 4,
    "norm_group": 2,  # two processes have a group each
    "val_interval": 50,
    "optimizer": {"lr": 2e-3},
    "schedule": {"warmup": 10, "warmup_start": 2e-6, "milestones": [88, 96]},
    "precision": "fp32",
    "size": 160,  # scenes have 256 to 320 px
    "train": {"scale": [0.5, 1.5]},
    "model": {
        "window": 7,  # patches of 8 px: a grid of 20 x 20, filled up to 21
        "channels": 48,
        "rpn_convs": 1,
        "box_convs": 1,
        "box_channels": 128,
        "mask_convs": 1,
        "proposals": {
            "per_level": [200, 100],
            "per_image": [100, 100],
            "sampled_anchors": 64,
            "sampled_regions": 32,
        },
    },
    "test": {"min_score": 0.01},  # after so few steps hardly a score is above 0.05
    "workers": 0,  # starting loader processes would take longer than loading these small images
}

tiers = {
    "_delete_": True,
    "smoke": {"iterations": 4, "schedule.warmup": 1, "schedule.milestones": [], "val_interval": 2},
    "short": {"iterations": 30, "schedule.milestones": [26, 28], "val_interval": 15},
}
