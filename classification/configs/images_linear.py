"""Logistic regression on frozen features of photographs."""

version = 1

source = "L2 logistic regression on standardised features, C chosen on val; 224 px, bicubic, crop 0.9"

recipe = {
    "img_size": 224,
    "crop_pct": 0.9,
    "pool": "token",
    "train_on": "train+val",
    "batch_size": 64,
    "grid": {"low": 1e-5, "high": 1e2, "count": 29},
}

tiers = {"smoke": {"grid.count": 3}, "short": {}}
