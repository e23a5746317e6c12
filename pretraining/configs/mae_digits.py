"""MAE on the training images of scikit-learn's digits: seconds on a CPU, for quick tests and the demo."""

version = 2

source = "ours: no paper has it"

recipe = {
    "epochs": 60,
    "batch_size": 64,
    "optimizer": {"name": "AdamW", "lr": 2e-3, "weight_decay": 0.05, "betas": [0.9, 0.95], "decay_embeddings": True},
    "schedule": {"name": "cosine", "warmup": 6, "warmup_peak": "next_step"},
    "val_interval": 10,
    # mild crops and no flip: a digit must stay readable, and a mirrored one is another sign
    "scale": [0.8, 1.0],
    "flip": 0.0,
    "mask_ratio": 0.75,
    # 900 + 269 = 1,169, all training images
    "knn_monitor": {"interval": 20, "bank_size": 900, "num_queries": 269},
}

tiers = {
    "smoke": {"epochs": 2, "schedule.warmup": 1, "val_interval": 1, "knn_monitor.interval": 0},
    "short": {"epochs": 20, "schedule.warmup": 2, "knn_monitor.interval": 0},
}
