"""UperNet on mini_ade: ADE20K's protocol made small, for the demo and the tests."""

_base_ = ["ade20k_upernet.py"]

version = 1

source = "ours: the parts of ade20k_upernet, sized for vit_nano and two CPU cores"

expected = {"_delete_": True}  # not yet measured

recipe = {
    "iterations": 200,
    "batch_size": 8,
    "val_interval": 50,
    "optimizer": {"lr": 6e-3},
    "schedule": {"warmup": 10},
    "crop": 64,
    "train": {"scale": [128, 96], "ratio": [0.75, 1.5]},
    "test": {"stride": 32, "scale": None},
    "workers": 0,
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
