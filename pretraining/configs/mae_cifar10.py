"""MAE on the training images of CIFAR-10 with small plain ViTs (the method of Tan's paper is mae_cifar)."""

version = 2

source = "ours, after MAE's recipe: a batch that fits the set, rate 6e-4 x 512 / 256; not searched"

recipe = {
    "epochs": 400,
    "batch_size": 512,  # smaller than MAE's 4096, to fit the 50,000 images
    "drop_last": True,
    # 6e-4 x 512 / 256
    "optimizer": {"name": "AdamW", "lr": 1.2e-3, "weight_decay": 0.05, "betas": [0.9, 0.95], "decay_embeddings": True},
    "schedule": {"name": "cosine", "warmup": 20, "warmup_peak": "next_step"},
    "scale": [0.2, 1.0],
    "mask_ratio": 0.75,
    "val_interval": 5,
    "knn_monitor": {"interval": 50},
    "workers": 2,
}

tiers = {
    "smoke": {
        "epochs": 1,
        "schedule.warmup": 0,
        "batch_size": 64,
        "val_interval": 1,
        "max_items": 128,
        "knn_monitor.interval": 0,
        "knn_monitor.bank_size": 100,
        "knn_monitor.num_queries": 28,
    },
    "short": {"epochs": 20, "batch_size": 256, "schedule.warmup": 2, "knn_monitor.interval": 10},
}
