"""D-MAE on this image set, with the settings of MAE on it."""

_base_ = ["mae_cifar10.py"]
