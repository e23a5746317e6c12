"""A small version of coco_vitdet_short for mini_coco, the demo and the tests."""

_base_ = ["mini_coco_vitdet.py"]

version = 2

source = "ours: mini_coco_vitdet with half the iterations, as a place for coco_vitdet_short"

expected = {"_delete_": True}  # not yet measured; "_delete_" drops what the base file has

recipe = {
    "iterations": 50,
    "val_interval": 25,
    "schedule": {"milestones": [44, 48]},
}

tiers = {"short": {"iterations": 20, "schedule.milestones": [17, 19], "val_interval": 10}}
