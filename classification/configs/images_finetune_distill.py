"""Fine-tuning on a user's own images with labels and with the answers of a teacher that was fine-tuned on them."""

version = 1

source = (
    "the transfer recipe of images_finetune with the distillation of imagenet_finetune_distill; ours, because no paper "
    "distills on such sets"
)

recipe = {
    "epochs": 100,
    "batch_size": 512,
    "drop_last": True,  # as in images_finetune; a set of fewer images is one batch
    "optimizer": {"name": "SGD", "lr": 0.03, "momentum": 0.9, "nesterov": True, "layer_decay": 0.75},
    "schedule": {"name": "cosine", "warmup": 20, "warmup_peak": "next_step", "end_lr": 1e-6},
    "clip_grad": 1.0,
    "img_size": 224,
    "pool": "avg",
    "teacher": None,  # whoever runs it names one: nobody else has a teacher for these classes
    "distill": {"kind": "hard", "alpha": 0.5, "class_token": True},
    "workers": 2,
}

scaled_with_batch = ["optimizer.lr"]

tiers = {
    # only shows that the protocol runs
    "smoke": {"epochs": 1, "schedule.warmup": 0, "batch_size": 32, "max_items": 128},
    "short": {"epochs": 8, "schedule.warmup": 1, "batch_size": 32, "optimizer.lr": 0.1},
}
