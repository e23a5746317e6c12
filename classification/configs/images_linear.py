"""Logistic regression on frozen features of photographs."""

version = 1

source = "logistic regression with an L2 penalty on standardized features, C chosen on val; 224 px, bicubic, crop 0.9"

recipe = {
    "img_size": 224,
    "crop_pct": 0.9,
    "pool": "token",
    "train_on": "train+val",  # C is chosen with fits on train; the chosen one is fitted once more on both
    "batch_size": 32,  # activations of 64 exceed what the allocator keeps, and each batch pays for new pages
    # four values of C per factor of ten; a tenth of those of digits_linear
    "grid": {"low": 1e-5, "high": 1e2, "count": 29},
}

tiers = {"smoke": {"grid.count": 3, "max_items": 128}, "short": {}}
