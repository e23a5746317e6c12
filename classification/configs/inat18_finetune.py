"""Fine-tuning on iNaturalist 2018."""

version = 1

source = (
    "ours: of the papers' recipe only AdamW and about 100 epochs are known; the rest is their ImageNet recipe without "
    "mixing of images"
)

recipe = {
    "epochs": 100,
    "batch_size": 1024,
    "optimizer": {"name": "AdamW", "lr": 4e-3, "weight_decay": 0.05, "layer_decay": 0.85},
    "schedule": {"name": "cosine", "warmup": 5, "end_lr": 1e-6},
    "img_size": 224,
    "pool": "avg",
    "train_on": "train+val",
    "drop_last": True,
    "workers": 8,
}

tiers = {
    "smoke": {"epochs": 1, "drop_last": False, "schedule.warmup": 0, "batch_size": 32},
    "short": {"epochs": 5, "drop_last": False, "schedule.warmup": 1, "batch_size": 64},
}
