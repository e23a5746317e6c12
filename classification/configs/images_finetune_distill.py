"""Fine-tuning on a user's own images with labels and with the answers of a teacher that was fine-tuned on them."""

_base_ = ["images_finetune.py"]

version = 1

source = (
    "the transfer recipe of images_finetune with the distillation of imagenet_finetune_distill; ours, because no paper "
    "distills on such sets"
)

recipe = {
    "teacher": None,  # whoever runs it names one: nobody else has a teacher for these classes
    "distill": {"kind": "hard", "alpha": 0.5, "class_token": True},
}
