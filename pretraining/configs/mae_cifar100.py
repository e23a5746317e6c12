"""MAE on CIFAR-100's training images: as on CIFAR-10's."""

_base_ = ["mae_cifar10.py"]
