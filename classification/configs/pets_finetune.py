"""Fine-tuning on Oxford-IIIT Pet by the papers' transfer recipe: Flowers' with another length."""

_base_ = ["flowers_finetune.py"]

recipe = {"epochs": 150, "schedule": {"warmup": 30}}
