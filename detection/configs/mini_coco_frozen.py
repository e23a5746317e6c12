"""A small version of coco_frozen for mini_coco, the demo and the tests."""

_base_ = ["mini_coco_vitdet.py"]

version = 2

source = "ours: mini_coco_vitdet with what coco_frozen changes, a fixed backbone without relative positions"

expected = {"_delete_": True}  # not yet measured; "_delete_" drops what the base file has

recipe = {
    "frozen": True,
    "model": {"rel_pos": False},  # zero at the start, they would stay zero
}
