"""Fine-tuning on ImageNet-1k with the papers' default recipe, which is MAE's."""

version = 2

source = "MAE-Lite, finetuning_mae_exp.py; learning rate 1e-3 x 1024 / 256; layer decay 0.75 for MoCo-v3 and ViT-Small"

recipe = {
    "epochs": 300,  # the length in the papers' tables; their code's default is 100
    "batch_size": 1024,
    "drop_last": True,  # mixup pairs images, so every batch must have an even number
    # 4e-3 is the base rate of 1e-3 per 256 images, for a batch of 1024
    "optimizer": {"name": "AdamW", "lr": 4e-3, "weight_decay": 0.05, "betas": [0.9, 0.999], "layer_decay": 0.85},
    "schedule": {"name": "cosine", "warmup": 5, "warmup_peak": "next_step", "end_lr": 1e-6},
    "img_size": 224,
    "crop_pct": 0.875,  # resize to 256 px, crop 224 px
    "pool": "avg",
    "beit_init": True,  # how the authors' models with relative positions start
    "drop_path": 0.1,
    "label_smoothing": 0.1,
    "rand_augment": "rand-m9-mstd0.5-inc1",
    "mixup": 0.8,
    "cutmix": 1.0,
    "erase": 0.25,
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
