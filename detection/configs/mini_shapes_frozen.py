"""A small version of coco_frozen for mini_shapes: whether weights help a detector, in minutes on a CPU."""

_base_ = ["mini_shapes_vitdet.py"]

version = 1

source = "ours: mini_shapes_vitdet with what coco_frozen changes, a fixed backbone without relative positions"

expected = {"_delete_": True}  # docs/reference/detection.md has what was measured

recipe = {
    "frozen": True,
    "optimizer": {"lr": 1e-3},
    "schedule": {"warmup_start": 1e-6},
    "model": {"rel_pos": False},  # zero at the start, they would stay zero
}
