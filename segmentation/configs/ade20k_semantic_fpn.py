"""Semantic FPN on ADE20K: the protocol of MAE-Lite and D2-MAE."""

version = 1

source = (
    "MAE-Lite repository, evaluation tools for segmentation (arXiv 2205.14443, 2404.12210): Semantic FPN, 512 px, "
    "160k iterations, layer decay 0.8, pyramid branches at 0.25 of the width"
)

# mIoU in % as printed in the MAE-Lite repository, each from its own start weights. A run counts as reproduced if it is
# within the tolerance. Their models always have relative position tables (zero at the start) and LayerScale; ours have
# them only if the start weights have them.
expected = {
    "deit_tiny_12h": {"mIoU": 38.0, "start": "DeiT-Tiny, 300 epochs", "tolerance": 0.5},
    "mae_d2_tiny": {"mIoU": 39.0, "start": "D2-MAE, 400 epochs", "tolerance": 0.5},
    "vit_tiny_rpe": {"mIoU": 41.5, "start": "--checkpoint DeiT-Tiny with tables, 1000 epochs", "tolerance": 0.5},
    "mae_d2_tiny_ft_rpe": {"mIoU": 42.8, "start": "D2-MAE, fine-tuned with tables, 1000 epochs", "tolerance": 0.5},
}

recipe = {
    "iterations": 160_000,
    "batch_size": 16,
    # iterations between checkpoints; ADE20K has no split to choose on, so the last weights are reported
    "val_interval": 4_000,
    # layer decay 0.8 where ade20k_upernet has 0.65; rate and weight decay are the same
    "optimizer": {"name": "AdamW", "lr": 1e-4, "weight_decay": 0.05, "betas": [0.9, 0.999], "layer_decay": 0.8},
    # warm-up from 1e-6 of the rate, as in mmseg's configurations
    "schedule": {"name": "poly", "warmup": 1_500, "warmup_start": 1e-10, "end_lr": 0.0, "power": 1.0},
    "crop": 512,
    "drop_path": 0.1,
    # mmseg's pipeline for ADE20K: the shorter side becomes 512 px, the longer one at most 2048 px, times 0.5 to 2
    "train": {"scale": [2048, 512], "ratio": [0.5, 2.0], "cat_max_ratio": 0.75, "flip": 0.5, "photometric": True},
    # windows of the crop's size; a stride of 341 px lets neighbors overlap by a third
    "test": {"mode": "slide", "stride": 341, "scale": [2048, 512]},
    "workers": 4,
    "model": {
        "neck": {"type": "ScaledPyramid", "width_ratio": 0.25},  # 192 channels of ViT-Tiny become 48
        "decode_head": {
            "type": "FPNHead",
            "in_index": [0, 1, 2, 3],  # all four maps
            "feature_strides": [4, 8, 16, 32],  # of the pyramid that the neck builds
            "channels": 128,
            "dropout_ratio": 0.1,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
    },
}

tiers = {
    # only shows that the protocol runs
    "smoke": {
        "iterations": 4,
        "batch_size": 2,
        "schedule.warmup": 1,
        "val_interval": 2,
        "crop": 128,
        "train.scale": [512, 128],
        "test.scale": [512, 128],
        "test.stride": 85,
        "max_items": 4,
    },
    "short": {"iterations": 16_000, "schedule.warmup": 1_500},
}
