"""Tan's MAE for CIFAR at 36 pixels, on the training images of CIFAR-10 or CIFAR-100.

The paper gives: 36 px, patches of 3 px, a dummy patch, mask ratio 0.75, learned positions in encoder and decoder, a
loss on masked patches and a discounted loss on visible patches. All other values are ours: heads, decoder, length,
rate, discount, augmentation and normalized targets.
"""

version = 2

source = "arXiv 2402.03752 for what its text gives (see the file's head); decoder, length, rate and discount are ours"

recipe = {
    # length and optimizer: ours
    "epochs": 1000,
    "batch_size": 1024,
    "drop_last": True,
    "optimizer": {"name": "AdamW", "lr": 2.4e-3, "weight_decay": 0.05, "betas": [0.9, 0.95]},
    "schedule": {"name": "cosine", "warmup": 40, "warmup_peak": "next_step"},
    "scale": [0.2, 1.0],  # ours
    # given by the paper
    "mask_ratio": 0.75,
    "positions": "learned",
    # the paper has a discount, but its value and the size of the decoder are ours
    "visible_loss": 0.1,
    "decoder": {"width": 96, "depth": 2, "heads": 3},
    "val_interval": 20,  # epochs between checkpoints; the health check needs a multiple of it
    "knn_monitor": {"interval": 100},
    "workers": 4,
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
    "short": {"epochs": 100, "schedule.warmup": 5},
}
