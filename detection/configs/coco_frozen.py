"""Pyramid and heads of coco_vitdet on a backbone that stays as it is: a quick look, not a published protocol."""

_base_ = ["coco_vitdet.py"]

version = 1

source = (
    "ours: coco_vitdet with a frozen backbone, for int(6 * 118,000 / 64) = 11,062 iterations with the milestones at "
    "the same fractions. The relative positions of ViTDet, which no pre-training has, are left out"
)

expected = {"_delete_": True}  # not yet measured

recipe = {
    "iterations": 11_062,
    "val_interval": 1_000,
    "frozen": True,
    "schedule": {"milestones": [9_832, 10_652]},  # int(11,062 * 24 / 27) and int(11,062 * 26 / 27)
    "model": {"rel_pos": False},  # zero at the start, they would stay zero
}

tiers = {"short": {"iterations": 2_212, "schedule.milestones": [1_966, 2_130]}}  # a fifth
