"""What pre-training reads: image sets, crops, augmentation."""
