"""UperNet on mini_ade: a small version of the ADE20K protocol for the demo and the tests."""

_base_ = ["ade20k_upernet.py"]

version = 1

source = "ours: the parts of ade20k_upernet at a size for vit_nano and two CPU cores"

expected = {"_delete_": True}  # not yet measured; "_delete_" drops what the base file has

recipe = {
    "iterations": 200,
    "batch_size": 8,
    "val_interval": 50,
    "optimizer": {"lr": 6e-3},
    "schedule": {"warmup": 10},
    "crop": 64,
    "train": {"scale": [128, 96], "ratio": [0.75, 1.5]},
    "test": {"stride": 32, "scale": None},  # scenes of 96 x 128 px keep their size
    "workers": 0,  # starting loader processes would take longer than loading these small images
    "drop_path": 0.0,
    "model": {
        "decode_head": {"channels": 48},
        "auxiliary_head": {"channels": 32},
    },
}

tiers = {
    "_delete_": True,
    "smoke": {"iterations": 6, "schedule.warmup": 2, "val_interval": 3},
    "short": {"iterations": 40, "schedule.warmup": 5, "val_interval": 20},
}
