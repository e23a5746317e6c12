"""A small tracker for a CPU, trained on pairs made of the embedded photographs: no data set is needed."""

version = 1

source = "ours: no paper has it (docs/reference/tracking.md)"

recipe = {
    "epochs": 28,
    "batch_size": 32,
    "optimizer": {"name": "AdamW", "lr": 4e-4, "weight_decay": 1e-4, "backbone_scale": 0.25},
    "schedule": {"name": "cosine", "warmup": 1, "end_lr": 4e-6},
    "clip_grad": 1.0,
    "workers": 1,
    "template_size": 64,
    "search_size": 128,
    "geometry": "exact",
    "pairs": 2048,
    "val_pairs": 128,
    "dataset_weights": {"photos": 1.0},
    "box_loss_cell": "center",
}

tiers = {
    "smoke": {"epochs": 2, "pairs": 256, "val_pairs": 64},
    "short": {"epochs": 4},
}
