"""The papers' transfer recipe: what all sets share; a set with numbers of its own has its own file."""

version = 1

source = (
    "MAE-Lite, transfer: SGD with Nesterov momentum, batch 512, RRC and flip only, mean of patch tokens; warm-up and "
    "rate are its code's defaults (20, 0.03), the length is ours: the papers searched them for each set, unpublished"
)

recipe = {
    "epochs": 100,
    "batch_size": 512,
    "optimizer": {"name": "SGD", "lr": 0.03, "momentum": 0.9, "nesterov": True, "layer_decay": 0.75},
    "schedule": {"name": "cosine", "warmup": 20, "end_lr": 1e-6},
    "clip_grad": 1.0,
    "img_size": 224,
    "pool": "avg",
    "workers": 2,
}

tiers = {
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 32},
    "short": {"epochs": 8, "schedule.warmup": 1, "batch_size": 32, "optimizer.lr": 0.1},
}
