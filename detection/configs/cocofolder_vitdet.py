"""Mask R-CNN on a user's own images and boxes: the recipe of coco_vitdet, a ninth as long, with batches of 16."""

_base_ = ["coco_vitdet.py"]

version = 1

source = "ours: model, augmentation and test of coco_vitdet; batch 16 and a shorter schedule for smaller data sets"

expected = {"_delete_": True}  # unknown: the data are yours

recipe = {
    "iterations": 20_000,
    "batch_size": 16,
    "val_interval": 1_000,
    "schedule": {"milestones": [17_777, 19_259]},  # 24/27 and 26/27 of the iterations
    "workers": 4,
}

tiers = {
    "short": {"iterations": 2_000, "schedule.warmup": 100, "val_interval": 100, "schedule.milestones": [1_777, 1_925]}
}
