"""A linear layer on the feature maps of a frozen backbone, ADE20K: a quick test, not a published protocol."""

version = 1

source = (
    "ours, after DINOv2's linear evaluation: frozen backbone; four feature maps, resized to the finest one and "
    "concatenated, go through batch norm and a 1x1 convolution; augmentation and test as in ade20k_upernet"
)

expected: dict[str, dict[str, float]] = {}  # not yet measured

recipe = {
    "iterations": 40_000,  # a quarter of the other protocols: only the head is trained
    "batch_size": 16,
    # iterations between checkpoints; ADE20K has no split to choose on, so the last weights are reported
    "val_interval": 4_000,
    "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
    # warm-up from 1e-6 of the rate, as in ade20k_upernet
    "schedule": {"name": "poly", "warmup": 1_500, "warmup_start": 1e-9, "end_lr": 0.0, "power": 1.0},
    "crop": 512,
    "frozen": True,
    # mmseg's pipeline for ADE20K: the shorter side becomes 512 px, the longer one at most 2048 px, times 0.5 to 2
    "train": {"scale": [2048, 512], "ratio": [0.5, 2.0], "cat_max_ratio": 0.75, "flip": 0.5, "photometric": True},
    # windows of the crop's size; a stride of 341 px lets neighbors overlap by a third
    "test": {"mode": "slide", "stride": 341, "scale": [2048, 512]},
    "workers": 4,
    "model": {
        "decode_head": {
            "type": "LinearHead",
            "in_index": [0, 1, 2, 3],  # all four maps
            "channels": 1,  # mmseg's base class requires a number, but this head has no inner layer
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
    },
}

tiers = {
    # only shows that the protocol runs
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
    "short": {"iterations": 4_000, "schedule.warmup": 400},
}
