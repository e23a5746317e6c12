"""MAE on a plain ViT, as the papers use it to pre-train ViT-Tiny and ViT-Small."""

version = 2

source = (
    "MAE-Lite (arXiv 2205.14443), mae_lite_exp.py: AdamW (0.9, 0.95), rate 1.5e-4 x 4096 / 256, 400 epochs, 40 of "
    "warm-up, mask 0.75, decoder of one block; crops as the authors', (0.08, 1)"
)

recipe = {
    "epochs": 400,
    "batch_size": 4096,
    "drop_last": True,
    # 1.5e-4 x 4096 / 256: the papers scale the rate with the batch size. The class token is decayed, as by their code.
    "optimizer": {"name": "AdamW", "lr": 2.4e-3, "weight_decay": 0.05, "betas": [0.9, 0.95], "decay_embeddings": True},
    "schedule": {"name": "cosine", "warmup": 40, "warmup_peak": "next_step"},  # epochs
    "scale": [0.08, 1.0],  # crops as in the authors' code, and their interpolation
    "interpolation": "random",
    "mask_ratio": 0.75,
    # without influence on the training: ten health checks, and the number of loader processes
    "knn_monitor": {"interval": 40},
    "workers": 8,
}

# 1.5e-4 per 256 images: the rate follows the batch size
scaled_with_batch = ["optimizer.lr"]

# ours: for trying things out; no result of these tiers is comparable with the papers
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
