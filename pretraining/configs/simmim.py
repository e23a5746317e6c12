"""SimMIM as the papers use it to pre-train their Swin."""

version = 2

source = (
    "arXiv 2404.12210, projects/simmim: AdamW (0.9, 0.99), rate 4e-4 at batch 2048 (by its command; a comment says "
    "1024), 400 epochs, 10 of warm-up from 2e-6, then constant: its step is at epoch 700; crops (0.67, 1); "
    "drop path 0.1; a decoder of a Swin block"
)

recipe = {
    "epochs": 400,
    "batch_size": 2048,  # by the authors' command; a comment there says 1024
    "drop_last": True,
    # Mask token and position tables are decayed: the authors' wrapper does not pass on which ones to leave out.
    "optimizer": {"name": "AdamW", "lr": 4e-4, "weight_decay": 0.05, "betas": [0.9, 0.99], "decay_embeddings": True},
    # The step at epoch 700 is never reached: after the warm-up the rate is constant.
    "schedule": {"name": "step", "warmup": 10, "warmup_start": 2e-6, "warmup_peak": "next_step", "milestones": [700]},
    "clip_grad": 5.0,
    "scale": [0.67, 1.0],  # crops as in the authors' code, and their interpolation
    "interpolation": "random",
    "decoder": "block",  # SimMIM's own is "conv"
    "drop_path": 0.1,  # the default of the authors' Swin, which no experiment of theirs changes
    "mask_ratio": 0.6,
    "mask_patch_size": 32,
    "knn_monitor": {"interval": 40},
    "workers": 8,
}

# the authors' code gives both per image, from the batch of 2048
scaled_with_batch = ["optimizer.lr", "schedule.warmup_start"]

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
