"""D2-MAE on this image set, with the settings of MAE on it."""

_base_ = ["mae_cifar100.py"]
