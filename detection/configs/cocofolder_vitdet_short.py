"""Mask R-CNN on a user's own images and boxes: coco_vitdet_short, about a fifth as long, with batches of 16."""

_base_ = ["coco_vitdet_short.py"]

version = 1

source = (
    "ours: model, augmentation and test of coco_vitdet_short; batch 16 and a shorter schedule for smaller data sets"
)

expected = {"_delete_": True}  # unknown: the data are yours

recipe = {
    "iterations": 4_000,
    "batch_size": 16,
    "val_interval": 500,
    "schedule": {"milestones": [3_555, 3_851]},  # 24/27 and 26/27 of the iterations
    "workers": 4,
}

tiers = {"short": {"iterations": 800, "schedule.warmup": 100, "val_interval": 100, "schedule.milestones": [711, 770]}}
