"""Fine-tuning on ImageNet-1k by the papers' default, MAE's recipe."""

version = 1

source = "MAE-Lite, finetuning_mae_exp.py; rate 1e-3 x 1024 / 256; MoCo-v3 and ViT-Small: layer decay 0.75"

recipe = {
    "epochs": 300,
    "batch_size": 1024,
    "drop_last": True,
    "optimizer": {"name": "AdamW", "lr": 4e-3, "weight_decay": 0.05, "betas": [0.9, 0.999], "layer_decay": 0.85},
    "schedule": {"name": "cosine", "warmup": 5, "end_lr": 1e-6},
    "img_size": 224,
    "crop_pct": 0.875,
    "pool": "avg",
    "drop_path": 0.1,
    "label_smoothing": 0.1,
    "rand_augment": "rand-m9-mstd0.5-inc1",
    "mixup": 0.8,
    "cutmix": 1.0,
    "erase": 0.25,
    "train_on": "train+val",
    "workers": 8,
}

tiers = {
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 64},
    "short": {"epochs": 20},
}
