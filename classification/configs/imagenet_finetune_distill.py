"""Fine-tuning on ImageNet-1k with labels and with the answers of a large teacher, by MAE-Lite's first release."""

_base_ = ["imagenet_finetune.py"]

version = 1

source = (
    "MAE-Lite, first release, finetuning_distill_exp.py: the default recipe with DeiT's hard distillation from "
    "RegNetY-160; the class token is the distillation token; the release also prints numbers for 1,000 epochs"
)

recipe = {
    "teacher": "timm/regnety_160.deit_in1k",  # 84 million parameters: most of the time of a step
    "distill": {"kind": "hard", "alpha": 0.5, "class_token": True},
}
