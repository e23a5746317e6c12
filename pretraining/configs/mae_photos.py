"""MAE on tiles of embedded photographs: a quick look that needs no data."""

_base_ = ["mae_digits.py"]

recipe = {"scale": [0.2, 1.0], "flip": 0.5, "knn_monitor": {"interval": 0}}
