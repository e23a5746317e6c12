"""A linear layer on a frozen backbone, CamVid: the ADE20K protocol at CamVid's size, the iteration chosen on val."""

_base_ = ["ade20k_linear.py"]

version = 1

source = "ours: model and optimizer of ade20k_linear; length, crop and scale for 367 images of 480 x 360 px"

expected = {"_delete_": True}  # not yet measured; "_delete_" drops what the base file has

recipe = {
    "iterations": 4_000,
    "val_interval": 500,  # iterations between validations; the one with the best mIoU on val is tested
    "optimizer": {"lr": 0.001},
    "schedule": {"warmup": 200},
    "crop": 256,
    "train": {"scale": [480, 360]},
    "test": {"stride": 171, "scale": None},  # two thirds of the crop; images keep their size
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
        "train.scale": [240, 180],
        "test.scale": [240, 180],
        "test.stride": 85,
        "max_items": 4,
    },
    # DeiT-Tiny reaches 53.0 % mIoU on test (docs/explanation/measurements.md); takes 13 to 20 minutes on one core
    "short": {
        "iterations": 1_200,
        "schedule.warmup": 60,
        "val_interval": 400,
        "batch_size": 8,
        "crop": 192,
        "test.stride": 128,
    },
}
