"""Low-shot logistic regression on photographs; with several --shots or --percent a run gives a curve."""

version = 1

source = (
    "several draws and min(shots, 4) val items per class as in CoOp (Zhou et al. 2022); classifier as in images_linear"
)

recipe = {
    "img_size": 224,
    "crop_pct": 0.9,
    "pool": "token",
    "batch_size": 32,  # activations of 64 exceed what the allocator keeps, and each batch pays for new pages
    "shots": 1,
    "percent": None,  # the alternative to shots: a percentage of each class
    "draws": 5,
    "grid": {"low": 1e-5, "high": 1e2, "count": 29},
}

tiers = {"smoke": {"draws": 2, "grid.count": 3, "max_items": 128}, "short": {}}
