"""Fine-tuning of Tan's ViT on CIFAR at 36 pixels, the class feature read from the dummy patch."""

version = 1

source = (
    "arXiv 2402.03752 for input, model and dummy patch; its text gives no length, rate or augmentation, so those are "
    "ours, after MAE's recipe for ImageNet"
)

recipe = {
    "epochs": 200,
    "batch_size": 512,
    "drop_last": True,
    "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.05, "layer_decay": 0.85},
    "schedule": {"name": "cosine", "warmup": 10, "end_lr": 1e-6},
    "img_size": 36,
    "crop_pct": 1.0,
    "pool": "token",
    "scale": [0.4, 1.0],
    "rand_augment": "rand-m9-mstd0.5-inc1",
    "mixup": 0.8,
    "cutmix": 1.0,
    "label_smoothing": 0.1,
    "drop_path": 0.1,
    "workers": 4,
}

tiers = {
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 64},
    "short": {"epochs": 20, "schedule.warmup": 2, "batch_size": 128},
}
