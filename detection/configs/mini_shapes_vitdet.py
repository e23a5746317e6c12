"""A small version of coco_vitdet for mini_shapes: whether weights help a detector, in minutes on a CPU."""

_base_ = ["mini_coco_vitdet.py"]

version = 1

source = "ours: mini_coco_vitdet at a size for ViT-Tiny, with a rate near the papers'"

expected = {"_delete_": True}  # docs/reference/detection.md has what was measured

recipe = {
    "iterations": 300,
    "val_interval": 300,
    "size": 256,
    "optimizer": {"lr": 3e-4},
    "schedule": {"warmup_start": 3e-7, "milestones": [264, 288]},
}

tiers = {"short": {"iterations": 100, "schedule.milestones": [88, 96], "val_interval": 100}}
