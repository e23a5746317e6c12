"""Fine-tuning on iNaturalist 2018."""

version = 2

source = (
    "ours: of the papers' recipe we know only AdamW and about 100 epochs; the rest is their ImageNet recipe without "
    "mixup and CutMix"
)

recipe = {
    "epochs": 100,
    "batch_size": 1024,
    # optimizer and schedule of imagenet_finetune
    "optimizer": {"name": "AdamW", "lr": 4e-3, "weight_decay": 0.05, "layer_decay": 0.85},
    "schedule": {"name": "cosine", "warmup": 5, "warmup_peak": "next_step", "end_lr": 1e-6},
    "img_size": 224,
    "pool": "avg",
    "beit_init": True,  # how the authors' models with relative positions start
    "train_on": "train+val",
    "drop_last": True,
    "workers": 8,
}

# as imagenet_finetune: 1e-3 per 256 images
scaled_with_batch = ["optimizer.lr"]

tiers = {
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 32, "max_items": 128},
    "short": {"epochs": 5, "schedule.warmup": 1, "batch_size": 64},
}
