"""OSTrack at 256 px without candidate elimination (arXiv 2203.11991, experiments/ostrack/vitb_256_mae_32x4_ep300)."""

# 4: frames are mirrored and grayed before they are cut (augment_frames), an epoch has 468 whole batches (drop_last),
# and the warm-up of candidate elimination begins with the 20th epoch; in version 3 crops were mirrored, a 469th batch
# of 96 pairs followed, and the warm-up was an epoch late
# 3: of GOT-10k, the split vottrain (7,086 sequences), as in OSTrack's file; versions 1 and 2 took all 9,335.
# 2: batch norm and the focal loss work in groups of 32 pairs (norm_group), as on the papers' 4 GPUs; version 1
# normalized the complete batch of 128, or what one process or piece held of it
version = 4

source = "OSTrack at 33b5e125; wangsr126/MAE-Lite at a5d1a74, TRACKING.md, differs in backbone and weights only"

recipe = {
    "epochs": 300,
    # 32 on each of 4 GPUs
    "batch_size": 128,
    # each GPU has 15,000 pairs in an epoch, and leaves out the last 24 of them
    "drop_last": True,
    # decay_all: OSTrack decays every parameter, biases and norms included
    "optimizer": {"name": "AdamW", "lr": 4e-4, "weight_decay": 1e-4, "backbone_scale": 0.1, "decay_all": True},
    # a single drop to a tenth, after 240 of 300 epochs
    "schedule": {"name": "step", "milestones": [240], "gamma": 0.1},
    "clip_grad": 0.1,
    "workers": 8,
    # crops and jitter
    "template_size": 128,
    "search_size": 256,
    "template_factor": 2.0,
    "search_factor": 4.0,
    "center_jitter": 3.0,
    "scale_jitter": 0.25,
    # per epoch; the 1,000 validation pairs are only displayed, as nothing is selected by them
    "pairs": 60_000,
    "val_pairs": 1_000,
    # the four sets are drawn equally often, however large they are
    "dataset_weights": {"lasot": 1.0, "got10k": 1.0, "coco": 1.0, "trackingnet": 1.0},
    # needs OSTrack's list got10k_vot_train_split.txt, which bench does not ship
    "got10k_split": "vottrain",
    # the pair is mirrored and grayed before the crops are cut
    "augment_frames": True,
    "drop_path": 0.1,
}

tiers = {
    # the drop of the learning rate is moved along with the length, to 80 % of it
    "smoke": {
        "epochs": 1,
        "batch_size": 16,
        "pairs": 32,
        "val_pairs": 16,
        "schedule.milestones": [1],
        "max_items": 4,
        "max_frames": 12,
    },
    "short": {"epochs": 30, "schedule.milestones": [24]},
}
