"""Logistic regression on few shots of photographs; --shots or --percent on the command line give a curve."""

version = 1

source = (
    "several draws and min(shots, 4) val items a class as CoOp (Zhou et al. 2022); the classifier is images_linear's"
)

recipe = {
    "img_size": 224,
    "crop_pct": 0.9,
    "pool": "token",
    "batch_size": 64,
    "shots": 1,
    "percent": None,
    "draws": 5,
    "grid": {"low": 1e-5, "high": 1e2, "count": 29},
}

tiers = {"smoke": {"draws": 2, "grid.count": 3}, "short": {}}
