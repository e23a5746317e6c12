"""Fine-tuning on CIFAR at its original 32 pixels, for small ViTs (``vit_micro``) on a CPU."""

version = 1

source = "ours, from no paper; without a search, so that starts from scratch and from weights are treated equally"

recipe = {
    "epochs": 100,
    "batch_size": 128,
    "drop_last": True,
    # no layer decay, for the same reason: it would favor a start from weights
    "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.05},
    "schedule": {"name": "cosine", "warmup": 5, "end_lr": 1e-6},
    "clip_grad": 1.0,
    "img_size": 32,
    "crop_pct": 1.0,  # images are tested as they are, uncropped
    "pool": "avg",
    "scale": [0.4, 1.0],
    "label_smoothing": 0.1,
    "val_interval": 5,
    "workers": 1,
}

tiers = {
    # only shows that the protocol runs
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 64, "val_interval": 1, "max_items": 128},
    "short": {"epochs": 20, "schedule.warmup": 2},
}
