"""Fine-tuning on CIFAR-100 by the papers' transfer recipe; the only data set whose settings they publish."""

version = 1

source = (
    "MAE-Lite, transfer: SGD with Nesterov momentum, batch 512, clip 1.0, RRC and flip only, mean of patch tokens, "
    "train+val; 50 epochs, 10 of warm-up, learning rate 0.1, layer decay 0.75 (its transfer script)"
)

recipe = {
    "epochs": 50,
    "batch_size": 512,
    # the learning rate is for the batch of 512; weight decay is 0
    "optimizer": {"name": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True, "layer_decay": 0.75},
    "schedule": {"name": "cosine", "warmup": 10, "end_lr": 1e-6},
    "clip_grad": 1.0,
    "img_size": 224,  # the 32 px images are enlarged (bicubic)
    "pool": "avg",
    "train_on": "train+val",  # no choice is left to val, so the last epoch is tested
    "workers": 2,
}

tiers = {
    # only shows that the protocol runs
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 32, "max_items": 128},
    "short": {"epochs": 5, "schedule.warmup": 1, "batch_size": 64},
}
