"""Mask R-CNN on ViTDet's simple feature pyramid, COCO, with the recipe of MAE-Lite for ViT-Tiny at 640 px."""

version = 1

source = (
    "wangsr126/MAE-Lite at a5d1a74, its detection configurations for ViT-Tiny, after ViTDet (arXiv 2203.16527) and "
    "detectron2's projects/ViTDet: batch 64 over 8 GPUs of 8 images, 100 epochs of 118,000 images, AdamW at 1e-4, "
    "weight decay 0.05, layer decay 1, no drop path, large-scale jitter 0.1 to 2, 640 px squares. detectron2's "
    "activation checkpointing and its fp16 compression of gradients are left out: they save memory and time. "
    "The padding of images to squares, the sampling and all losses follow detectron2; the random numbers are our own"
)

# box and mask AP in % of MAE-Lite's table, 5,000 images of val2017. The deviation over 5 seeds of ViT-B is 0.1 AP
# (README of detectron2's projects/ViTDet); the tolerance is four of these, because ours is another code base
expected = {
    "deit_tiny_12h": {"box_AP": 40.4, "mask_AP": 35.5, "tolerance": 0.4},
    "mae_tiny": {"box_AP": 39.9, "mask_AP": 35.4, "tolerance": 0.4},
    "mocov3_tiny": {"box_AP": 39.7, "mask_AP": 35.1, "tolerance": 0.4},
    "mae_distill_tiny": {"box_AP": 42.3, "mask_AP": 37.3, "tolerance": 0.4},
    "mae_d2_tiny": {"box_AP": 42.5, "mask_AP": 37.5, "tolerance": 0.4},
}

recipe = {
    "iterations": 184_375,  # int(100 * 118,000 / 64)
    "batch_size": 64,
    # the losses of 8 images are normalized together, as on each of the papers' 8 GPUs
    "norm_group": 8,
    # iterations between checkpoints; COCO has no split to choose on, so the last weights are reported
    "val_interval": 5_000,
    "optimizer": {
        "name": "AdamW",
        "lr": 1e-4,
        "weight_decay": 0.05,
        "betas": [0.9, 0.999],
        "layer_decay": 1.0,
        # everything is decayed but the norms and the positions of the backbone
        "decay_rule": "detectron2",
    },
    "schedule": {
        "name": "step",
        # the warm-up begins at 0.001 of the rate; step t of 250 has 0.001 + 0.999 t / 250 of it
        "warmup": 250,
        "warmup_start": 1e-7,
        "warmup_peak": "next_step",
        "milestones": [163_888, 177_546],  # int(184,375 * 24 / 27) and int(184,375 * 26 / 27)
        "gamma": 0.1,
    },
    "precision": "fp16",
    "size": 640,
    "drop_path": 0.0,
    "train": {"flip": 0.5, "scale": [0.1, 2.0]},
    "test": {"min_score": 0.05, "nms_iou": 0.5, "per_image": 100},
    "workers": 8,
}

tiers = {
    # only shows that the protocol runs, on a CPU too
    "smoke": {
        "iterations": 2,
        "batch_size": 2,
        "norm_group": 2,
        "schedule.warmup": 1,
        "schedule.milestones": [],
        "val_interval": 2,
        "precision": "fp32",
        "size": 128,
        "model.channels": 32,
        "model.box_channels": 64,
        "model.proposals.per_level": [100, 50],
        "model.proposals.per_image": [100, 50],
        "test.per_image": 20,
        "workers": 0,
        "max_items": 4,
    },
    # a tenth, with the milestones at the same fractions
    "short": {"iterations": 18_437, "schedule.milestones": [16_388, 17_754]},
}
