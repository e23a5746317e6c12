"""As MAE on this set, with a teacher."""

_base_ = ["mae_cifar100.py"]
