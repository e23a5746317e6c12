"""MAE on tiles of embedded photographs, for quick tests that need no data."""

_base_ = ["mae_digits.py"]

# photographs allow strong crops and flips; they have no labels for a health check
recipe = {"scale": [0.2, 1.0], "flip": 0.5, "knn_monitor": {"interval": 0}}
