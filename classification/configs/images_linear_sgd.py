"""A linear layer trained with LARS on frozen features of photographs."""

version = 1

source = (
    "MAE (He et al. 2022, table A.5): LARS, 90 epochs, 10 of warm-up, batch 16384, momentum 0.9, no weight decay, a "
    "batch norm without parameters; here without augmentation, and with a grid of learning rates, because a small "
    "data set has few steps. "
    "MoCo-v3: --set optimizer.name=SGD optimizer.batch_size=1024 optimizer.warmup=0"
)

recipe = {
    "img_size": 224,
    "crop_pct": 0.9,
    "pool": "token",
    "train_on": "train+val",  # the rate is chosen with heads trained on train; a last training uses both
    "batch_size": 32,  # images in one forward pass of the backbone; the batch of the training is below
    "optimizer": {
        "name": "LARS",
        # about ten values per factor of ten; base rates for 256 images
        "lr": {"low": 0.1, "high": 1000.0, "count": 40},
        "batch_size": 16384,
        "epochs": 90,
        "warmup": 10,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "trust": 0.001,
    },
}

tiers = {
    "smoke": {"optimizer.epochs": 10, "optimizer.warmup": 1, "optimizer.lr.count": 5, "max_items": 128},
    "short": {"optimizer.epochs": 30, "optimizer.warmup": 3},
}
