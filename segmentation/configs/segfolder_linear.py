"""A linear layer on a frozen backbone, a user's own folder: the ADE20K protocol, an eighth as long."""

_base_ = ["ade20k_linear.py"]

version = 1

source = "ours: model, optimizer, crop and training augmentation of ade20k_linear; images are tested at their own size"

expected = {"_delete_": True}  # unknown: the data are yours

recipe = {
    "iterations": 5_000,
    "val_interval": 1_000,
    "train": {"scale": [2048, 512]},  # as for ADE20K: the shorter side becomes 512 px times 0.5 to 2
    "test": {"scale": None},  # images keep their size
    "workers": 2,
}

tiers = {
    "_delete_": True,
    "smoke": {
        "iterations": 4,
        "batch_size": 2,
        "schedule.warmup": 1,
        "val_interval": 2,
        "crop": 128,
        "train.scale": [512, 128],
        "test.scale": [512, 128],
        "test.stride": 85,
        "max_items": 4,
    },
    "short": {"iterations": 2_000, "schedule.warmup": 200, "val_interval": 500},
}
