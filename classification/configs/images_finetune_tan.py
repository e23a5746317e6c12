"""Fine-tuning of Tan's ViT on CIFAR at 36 pixels, with the class feature read from the dummy patch."""

version = 1

source = (
    "arXiv 2402.03752 for input, model and dummy patch; the paper gives no length, learning rate or augmentation, so "
    "these are ours, after MAE's recipe for ImageNet"
)

recipe = {
    "epochs": 200,
    "batch_size": 512,
    "drop_last": True,  # mixup pairs images, so every batch must have an even number
    "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.05, "layer_decay": 0.85},
    "schedule": {"name": "cosine", "warmup": 10, "end_lr": 1e-6},
    "img_size": 36,
    "crop_pct": 1.0,  # images are resized to 36 px and tested uncropped
    "pool": "token",  # the dummy patch is the model's class token
    # augmentation and regularization of imagenet_finetune, with milder crops and without erasing
    "scale": [0.4, 1.0],
    "rand_augment": "rand-m9-mstd0.5-inc1",
    "mixup": 0.8,
    "cutmix": 1.0,
    "label_smoothing": 0.1,
    "drop_path": 0.1,
    "workers": 4,
}

tiers = {
    # only shows that the protocol runs
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 64, "max_items": 128},
    "short": {"epochs": 20, "schedule.warmup": 2, "batch_size": 128},
}
