"""Logistic regression on frozen features of scikit-learn's digits."""

version = 1

source = (
    "ours: no paper has it; input as in digits_finetune, C chosen on the validation split (docs/reference/protocols.md)"
)

# test top-1 % of random weights (the floor), mean over seeds 0..4 (90.0 to 91.6 and 85.0 to 86.4 seen)
expected = {"vit_nano": 90.8, "vit_pico": 85.5}

recipe = {"img_size": 32, "pool": "avg", "grid": {"low": 1e-4, "high": 1e3, "count": 29}}

tiers = {"smoke": {"grid.count": 3}, "short": {}}
