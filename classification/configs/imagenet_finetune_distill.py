"""Fine-tuning on ImageNet-1k with labels and with the answers of a large teacher, by MAE-Lite's first release."""

version = 1

source = (
    "MAE-Lite, first release, finetuning_distill_exp.py: the default recipe with DeiT's hard distillation from "
    "RegNetY-160; the class token is the distillation token"
)

recipe = {
    "epochs": 300,  # the release also prints numbers for 1,000
    "batch_size": 1024,
    "drop_last": True,  # mixup pairs images, so every batch must have an even number
    "optimizer": {"name": "AdamW", "lr": 4e-3, "weight_decay": 0.05, "betas": [0.9, 0.999], "layer_decay": 0.85},
    "schedule": {"name": "cosine", "warmup": 5, "warmup_peak": "next_step", "end_lr": 1e-6},
    "img_size": 224,
    "crop_pct": 0.875,  # resize to 256 px, crop 224 px
    "pool": "avg",
    # next to imagenet_finetune, whose augmentation and length it has: the teacher and its part of the loss
    "teacher": "timm/regnety_160.deit_in1k",  # 84 million parameters: most of the time of a step
    "distill": {"kind": "hard", "alpha": 0.5, "class_token": True},
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
