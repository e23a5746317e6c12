"""A small tracker for a CPU, trained on pairs made from the embedded photographs: no data set is needed."""

version = 1

source = "ours: no paper has it (docs/reference/tracking.md)"

recipe = {
    # 28 epochs of 2,048 pairs are 1,792 steps: about 45 minutes on one core with DeiT-Tiny
    "epochs": 28,
    "batch_size": 32,
    # the pre-trained backbone learns at a quarter of the head's rate
    "optimizer": {"name": "AdamW", "lr": 4e-4, "weight_decay": 1e-4, "backbone_scale": 0.25},
    "schedule": {"name": "cosine", "warmup": 1, "end_lr": 4e-6},
    "clip_grad": 1.0,
    # one loader process makes 650 pairs a second, far more than a CPU can train on
    "workers": 1,
    # half of OSTrack's 128 and 256 px, so a quarter of its tokens
    "template_size": 64,
    "search_size": 128,
    # without OSTrack's black border column and its half-pixel offset between training and tracking
    "geometry": "exact",
    "pairs": 2048,
    "val_pairs": 128,
    "dataset_weights": {"photos": 1.0},
    # at the true cell, size and offset are trained from the first step on, also while the score is still wrong
    "box_loss_cell": "center",
}

tiers = {
    "smoke": {"epochs": 2, "pairs": 256, "val_pairs": 64, "max_items": 12, "max_frames": 48},
    "short": {"epochs": 4},
}
