"""Fine-tuning by the papers' transfer recipe, for data sets that have no config file of their own."""

version = 2

source = (
    "MAE-Lite, transfer: SGD with Nesterov momentum, batch 512, RRC and flip only, mean of patch tokens; warm-up and "
    "learning rate are its code's defaults (20, 0.03); the length is ours, because the papers searched these settings "
    "for each data set and do not publish them"
)

recipe = {
    "epochs": 100,  # ours
    "batch_size": 512,
    "drop_last": True,  # as the authors' loader; a set of fewer images is one batch
    "optimizer": {"name": "SGD", "lr": 0.03, "momentum": 0.9, "nesterov": True, "layer_decay": 0.75},
    "schedule": {"name": "cosine", "warmup": 20, "warmup_peak": "next_step", "end_lr": 1e-6},
    "clip_grad": 1.0,
    "img_size": 224,
    "pool": "avg",
    "beit_init": True,  # how the authors' models with relative positions start
    # train_on stays "train": the epoch is chosen on val
    "workers": 2,
}

# the authors' code gives rates per image
scaled_with_batch = ["optimizer.lr"]

tiers = {
    # only shows that the protocol runs
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 32, "max_items": 128},
    "short": {"epochs": 8, "schedule.warmup": 1, "batch_size": 32, "optimizer.lr": 0.1},
}
