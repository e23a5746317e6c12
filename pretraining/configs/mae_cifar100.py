"""MAE on the training images of CIFAR-100, with the recipe of CIFAR-10."""

_base_ = ["mae_cifar10.py"]
