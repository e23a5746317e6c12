"""A linear layer trained with LARS on frozen features of scikit-learn's digits."""

version = 1

source = (
    "MAE (He et al. 2022, table A.5): LARS, 90 epochs, 10 of warm-up, batch 16384 (here all of train), momentum 0.9, "
    "no weight decay, batch norm without parameters. Its base learning rate is 0.1 for 7,020 steps; a small data set "
    "has far fewer steps, so the grid goes far higher. "
    "MoCo-v3: --set optimizer.name=SGD optimizer.batch_size=1024 optimizer.warmup=0"
)

# top-1 on test in % with random weights: mean over seeds 0 to 4 (range 76.0 to 82.2 and 68.3 to 72.7)
expected = {"vit_nano": 79.0, "vit_pico": 70.6}

recipe = {
    "img_size": 32,
    "pool": "avg",
    "optimizer": {
        "name": "LARS",
        # about ten values per factor of ten; base rates for 256 images
        "lr": {"low": 0.1, "high": 1000.0, "count": 40},
        "batch_size": 16384,  # more than train has, so a batch is all of train and an epoch is one step
        "epochs": 90,
        "warmup": 10,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "trust": 0.001,
    },
}

tiers = {
    "smoke": {"optimizer.epochs": 10, "optimizer.warmup": 1, "optimizer.lr.count": 5},
    "short": {"optimizer.epochs": 30, "optimizer.warmup": 3},
}
