"""MoCo-v3 on the training images of scikit-learn's digits: a quick look; digits are grey and never mirrored."""

version = 1

source = "ours: no paper has it"

recipe = {
    "epochs": 60,
    "batch_size": 128,
    "drop_last": True,
    "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.1},
    "schedule": {"name": "cosine", "warmup": 6},
    "val_interval": 10,
    "scale": [0.5, 1.0],
    "flip": 0.0,
    "hidden_dim": 512,
    "out_dim": 64,
    "color_augmentation": {
        "jitter": [0.4, 0.4, 0.0, 0.0],
        "grayscale_p": 0.0,
        "blur_p": [0.5, 0.1],
        "solarize_p": [0.0, 0.0],
    },
    "knn_monitor": {"interval": 20, "bank_size": 900, "num_queries": 269},
}

tiers = {
    "smoke": {"epochs": 2, "schedule.warmup": 1, "val_interval": 1, "knn_monitor.interval": 0},
    "short": {"epochs": 20, "schedule.warmup": 2, "knn_monitor.interval": 0},
}
