"""Fine-tuning on Stanford Cars by the papers' transfer recipe: Flowers' with another length."""

_base_ = ["flowers_finetune.py"]

recipe = {"epochs": 100, "schedule": {"warmup": 20}}
