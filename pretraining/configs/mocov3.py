"""MoCo-v3 as the papers use it to pre-train ViT-Tiny."""

version = 2

source = (
    "MAE-Lite (arXiv 2205.14443), projects/mocov3: AdamW, rate 1.5e-4 x 1024 / 256, 400 epochs, 40 of warm-up from "
    "1e-6, T 0.2, momentum 0.99 to 1, the patch projection is trained (the official code freezes it)"
)

recipe = {
    "epochs": 400,
    "batch_size": 1024,
    "drop_last": True,
    # 1.5e-4 x 1024 / 256; temperature and momentum are the defaults of MocoRecipe. All parameters are decayed, since
    # the authors give them to the optimizer in one group.
    "optimizer": {"name": "AdamW", "lr": 6e-4, "weight_decay": 0.1, "decay_all": True},
    # in epochs; a learning rate
    "schedule": {"name": "cosine", "warmup": 40, "warmup_start": 1e-6, "warmup_peak": "next_step"},
    "scale": [0.08, 1.0],
    "interpolation": "bilinear",  # torchvision's default, which the authors leave as it is
    "knn_monitor": {"interval": 40},
    "workers": 8,
}

# 1.5e-4 per 256 images: the rate follows the batch size, and the start of the warm-up does not
scaled_with_batch = ["optimizer.lr"]

# ours: for trying things out
tiers = {
    "smoke": {
        "epochs": 1,
        "schedule.warmup": 0,
        "batch_size": 32,
        "max_items": 128,
        "knn_monitor.interval": 0,
        "knn_monitor.bank_size": 100,
        "knn_monitor.num_queries": 28,
    },
    "short": {"epochs": 20, "schedule.warmup": 2, "batch_size": 256},
}
