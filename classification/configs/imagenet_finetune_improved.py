"""Fine-tuning on ImageNet-1k by the papers' improved recipe, the one of their headline numbers."""

version = 1

source = (
    "MAE-Lite, finetuning_exp.py (weak augmentation for small models); rate 1e-3 x 1024 / 256; 1,000 epochs with RPE"
)

recipe = {
    "epochs": 300,
    "batch_size": 1024,
    "drop_last": True,
    "optimizer": {"name": "AdamW", "lr": 4e-3, "weight_decay": 0.05, "betas": [0.9, 0.999], "layer_decay": 0.85},
    "schedule": {"name": "cosine", "warmup": 5, "end_lr": 1e-6},
    "img_size": 224,
    "crop_pct": 0.875,
    "pool": "avg",
    "rand_augment": "rand-m10-mstd0.5-inc1",
    "mixup": 0.2,
    "train_on": "train+val",
    "workers": 8,
}

tiers = {
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 64},
    "short": {"epochs": 20},
}
