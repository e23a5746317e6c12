"""Training on scikit-learn's digits: the first real run, small enough for every machine."""

version = 1

source = "ours: no paper has it; chosen on the validation split (docs/reference/protocols.md)"

# test top-1 in %: mean and range over seeds 0 to 4, measured on two CPU threads; "reproduced" is within the tolerance
expected = {
    "vit_nano": {"top1": 98.66, "range": [98.33, 99.16], "tolerance": 1.5},
    "vit_pico": {"top1": 98.16, "range": [97.77, 98.61], "tolerance": 1.5},
}

recipe = {
    "epochs": 40,
    "batch_size": 64,
    "optimizer": {"name": "AdamW", "lr": 4e-3, "weight_decay": 0.05},
    "schedule": {"name": "cosine", "warmup": 4, "end_lr": 1e-6},
    "clip_grad": 1.0,
    "img_size": 32,
    "label_smoothing": 0.1,
    "shift": 0.06,
}

tiers = {
    "smoke": {"epochs": 2, "schedule.warmup": 1},
    "short": {"epochs": 10, "schedule.warmup": 1},
}
