"""A linear layer on a frozen backbone, mini_ade: a small version of the ADE20K protocol for the demo and the tests."""

_base_ = ["ade20k_linear.py"]

version = 1

source = "ours: the parts of ade20k_linear at a size for vit_nano and two CPU cores"

# mIoU in % over the 6 classes that are present, seed 0 on one CPU thread; an untrained model reaches 0.0
expected = {"_delete_": True, "vit_nano": {"mIoU": 67.2, "tolerance": 4.0}}

recipe = {
    "iterations": 120,
    "batch_size": 8,
    "val_interval": 40,
    "optimizer": {"lr": 4e-3},
    "schedule": {"warmup": 10},
    "crop": 64,
    "train": {"scale": [128, 96], "ratio": [0.75, 1.5]},
    "test": {"stride": 32, "scale": None},  # scenes of 96 x 128 px keep their size
    "workers": 0,  # starting loader processes would take longer than loading these small images
}

tiers = {
    "_delete_": True,
    "smoke": {"iterations": 6, "schedule.warmup": 2, "val_interval": 3},
    "short": {"iterations": 40, "schedule.warmup": 5, "val_interval": 20},
}
