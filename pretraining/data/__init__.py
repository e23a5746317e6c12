"""The input of pre-training: image sets, crops and augmentation."""
