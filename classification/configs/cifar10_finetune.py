"""Fine-tuning on CIFAR-10 with the papers' recipe for CIFAR-100."""

_base_ = ["cifar100_finetune.py"]
