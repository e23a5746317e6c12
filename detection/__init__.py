"""Object detection and instance segmentation with a backbone: Mask R-CNN on a pyramid, after ViTDet."""
