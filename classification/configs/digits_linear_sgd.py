"""A linear layer by LARS on frozen features of scikit-learn's digits."""

version = 1

source = (
    "MAE (He et al. 2022, table A.5): LARS, 90 epochs, 10 of warm-up, batch 16384 (here all of train), momentum 0.9, "
    "no weight decay, batch norm without parameters; its base rate is 0.1 at 7,020 steps, so few steps ask for a grid "
    "far above. MoCo-v3: --set optimizer.name=SGD optimizer.batch_size=1024 optimizer.warmup=0"
)

# test top-1 % of random weights (the floor), mean over seeds 0..4 (76.0 to 82.2 and 68.3 to 72.7 seen)
expected = {"vit_nano": 79.0, "vit_pico": 70.6}

recipe = {
    "img_size": 32,
    "pool": "avg",
    "optimizer": {
        "name": "LARS",
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
    "smoke": {"optimizer.epochs": 10, "optimizer.warmup": 1, "optimizer.lr.count": 5},
    "short": {"optimizer.epochs": 30, "optimizer.warmup": 3},
}
