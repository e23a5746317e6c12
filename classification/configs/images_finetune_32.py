"""Fine-tuning on CIFAR at its own 32 pixels, for small ViTs (``vit_micro``) on a CPU."""

version = 1

source = "ours: no paper has it; not searched, so that a start from scratch and one from weights are treated alike"

recipe = {
    "epochs": 100,
    "batch_size": 128,
    "drop_last": True,
    "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.05},
    "schedule": {"name": "cosine", "warmup": 5, "end_lr": 1e-6},
    "clip_grad": 1.0,
    "img_size": 32,
    "crop_pct": 1.0,
    "pool": "avg",
    "scale": [0.4, 1.0],
    "label_smoothing": 0.1,
    "val_interval": 5,
    "workers": 1,
}

tiers = {
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 64, "val_interval": 1},
    "short": {"epochs": 20, "schedule.warmup": 2},
}
