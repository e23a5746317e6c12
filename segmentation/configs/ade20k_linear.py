"""A linear layer on the frozen backbone's maps of ADE20K: a quick look, not a published protocol."""

version = 1

source = (
    "ours, after DINOv2's linear evaluation: frozen backbone, batch norm and a 1x1 convolution on four taps, resized "
    "to the finest and concatenated; augmentation and test as in ade20k_upernet"
)

expected: dict[str, dict[str, float]] = {}  # not yet measured

recipe = {
    "iterations": 40_000,
    "batch_size": 16,
    "val_interval": 4_000,
    "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
    "schedule": {"name": "poly", "warmup": 1_500, "warmup_start": 1e-9, "end_lr": 0.0, "power": 1.0},
    "crop": 512,
    "frozen": True,
    "train": {"scale": [2048, 512], "ratio": [0.5, 2.0], "cat_max_ratio": 0.75, "flip": 0.5, "photometric": True},
    "test": {"mode": "slide", "stride": 341, "scale": [2048, 512]},
    "workers": 4,
    "model": {
        "decode_head": {
            "type": "LinearHead",
            "in_index": [0, 1, 2, 3],
            "channels": 1,  # mmseg's base class wants a number; this head has no inner layer
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
    },
}

tiers = {
    "smoke": {"iterations": 20, "schedule.warmup": 5, "val_interval": 10},
    "short": {"iterations": 4_000, "schedule.warmup": 400},
}
