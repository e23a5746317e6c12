"""Logistic regression on some shots of scikit-learn's digits; --shots or --percent on the command line give a curve."""

version = 1

source = (
    "ours: no paper has it; several draws and min(shots, 4) val items a class as CoOp (Zhou et al. 2022), the grid of "
    "digits_linear"
)

# test top-1 % of random weights (the floor), mean over seeds 0..4 (1 shot; 16.9 to 22.3 and 16.2 to 22.2 seen)
expected = {"vit_nano": 18.9, "vit_pico": 19.1}

recipe = {
    "img_size": 32,
    "pool": "avg",
    "shots": 1,
    "percent": None,
    "draws": 5,
    "grid": {"low": 1e-4, "high": 1e3, "count": 29},
}

tiers = {"smoke": {"draws": 2, "grid.count": 3}, "short": {}}
