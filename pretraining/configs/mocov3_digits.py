"""MoCo-v3 on the training images of scikit-learn's digits, for quick tests."""

version = 2

source = "ours: no paper has it"

recipe = {
    "epochs": 60,
    "batch_size": 128,
    "drop_last": True,
    "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.1, "decay_all": True},
    "schedule": {"name": "cosine", "warmup": 6, "warmup_peak": "next_step"},
    "val_interval": 10,
    # milder crops than on photographs, and no flip: a mirrored digit is another sign
    "scale": [0.5, 1.0],
    "interpolation": "bilinear",
    "flip": 0.0,
    # much smaller than the paper's 4096 and 256, to train in seconds
    "hidden_dim": 512,
    "out_dim": 64,
    # digits are gray: no changes of saturation and hue, no conversion to gray
    "color_augmentation": {
        "jitter": [0.4, 0.4, 0.0, 0.0],
        "grayscale_p": 0.0,
        "blur_p": [0.5, 0.1],
        "solarize_p": [0.0, 0.0],
    },
    # 900 + 269 = 1,169, all training images
    "knn_monitor": {"interval": 20, "bank_size": 900, "num_queries": 269},
}

tiers = {
    "smoke": {"epochs": 2, "schedule.warmup": 1, "val_interval": 1, "knn_monitor.interval": 0},
    "short": {"epochs": 20, "schedule.warmup": 2, "knn_monitor.interval": 0},
}
