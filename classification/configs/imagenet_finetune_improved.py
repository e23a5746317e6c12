"""Fine-tuning on ImageNet-1k with the papers' improved recipe, which their best results use."""

version = 2

source = (
    "MAE-Lite, finetuning_exp.py (weak augmentation for small models); learning rate 1e-3 x 1024 / 256; 1,000 epochs "
    "for models with relative position tables (RPE)"
)

recipe = {
    "epochs": 300,
    "batch_size": 1024,
    "drop_last": True,  # mixup pairs images, so every batch must have an even number
    "optimizer": {
        "name": "AdamW",
        "lr": 4e-3,
        "weight_decay": 0.05,
        "betas": [0.9, 0.999],
        "layer_decay": 0.85,
        "swin_layers": "mae_lite",
    },
    "schedule": {"name": "cosine", "warmup": 5, "warmup_peak": "next_step", "end_lr": 1e-6},
    "img_size": 224,
    "crop_pct": 0.875,  # resize to 256 px, crop 224 px
    "pool": "avg",
    "beit_init": True,  # how the authors' models with relative positions start
    "fresh_norm": True,  # MAE-Lite's loading leaves it out: for Swin on purpose, for Hiera by its name
    # next to imagenet_finetune: mixup 0.2 instead of 0.8, and no CutMix, label smoothing, erasing or drop path
    "rand_augment": "rand-m10-mstd0.5-inc1",
    "mixup": 0.2,
    "train_on": "train+val",  # all official training images; the last epoch is tested
    "workers": 8,
}

# 1e-3 per 256 images: the rate follows the batch size
scaled_with_batch = ["optimizer.lr"]

tiers = {
    # only shows that the protocol runs
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 64, "max_items": 128},
    "short": {"epochs": 20},
}
