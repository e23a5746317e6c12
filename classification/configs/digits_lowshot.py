"""Low-shot logistic regression on scikit-learn's digits; with several --shots or --percent a run gives a curve."""

version = 1

source = (
    "ours, from no paper; several draws and min(shots, 4) val items per class as in CoOp (Zhou et al. 2022); grid of "
    "digits_linear"
)

# top-1 on test in % with random weights and 1 shot: mean over seeds 0 to 4 (range 16.9 to 22.3 and 16.2 to 22.2)
expected = {"vit_nano": 18.9, "vit_pico": 19.1}

recipe = {
    "img_size": 32,
    "pool": "avg",
    "shots": 1,
    "percent": None,  # the alternative to shots: a percentage of each class
    "draws": 5,
    "grid": {"low": 1e-4, "high": 1e3, "count": 29},
}

tiers = {"smoke": {"draws": 2, "grid.count": 3}, "short": {}}
