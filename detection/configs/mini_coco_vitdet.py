"""A small version of coco_vitdet for mini_coco, the demo and the tests."""

_base_ = ["coco_vitdet.py"]

version = 1

source = "ours: the parts of coco_vitdet at a size for vit_nano and two CPU cores"

expected = {"_delete_": True}  # not yet measured; "_delete_" drops what the base file has

recipe = {
    "iterations": 60,
    "batch_size": 4,
    "norm_group": 2,  # two processes have a group each
    "val_interval": 20,
    "optimizer": {"lr": 2e-3},
    "schedule": {"warmup": 5, "warmup_start": 2e-6, "milestones": [53, 57]},
    "precision": "fp32",
    "size": 192,
    "train": {"scale": [0.5, 1.5]},
    "model": {
        "window": 7,
        "channels": 64,
        "box_channels": 256,
        "proposals": {
            "per_level": [200, 100],
            "per_image": [100, 100],
            "sampled_anchors": 128,
            "sampled_regions": 64,
        },
    },
    "workers": 0,  # starting loader processes would take longer than loading these small images
}

tiers = {
    "_delete_": True,
    "smoke": {"iterations": 4, "schedule.warmup": 1, "schedule.milestones": [], "val_interval": 2},
    "short": {"iterations": 20, "schedule.milestones": [17, 19], "val_interval": 10},
}
