"""A linear layer on a frozen backbone, a user's own folder: ADE20K's protocol at the images' own size."""

_base_ = ["ade20k_linear.py"]

version = 1

source = "ours: model, optimiser and crop of ade20k_linear; images keep their size (times 0.5 to 2 in training)"

expected = {"_delete_": True}  # yours

recipe = {
    "iterations": 5_000,
    "val_interval": 1_000,
    "train": {"scale": [2048, 512]},
    "test": {"scale": None},
    "workers": 2,
}

tiers = {
    "_delete_": True,
    "smoke": {"iterations": 20, "schedule.warmup": 5, "val_interval": 10},
    "short": {"iterations": 2_000, "schedule.warmup": 200, "val_interval": 500},
}
