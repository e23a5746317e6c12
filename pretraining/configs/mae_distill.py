"""D-MAE: MAE that also matches a teacher's attention logits; the other settings are those of MAE."""

_base_ = ["mae.py"]

# layers and weight are the defaults of pretraining.recipe.Distillation
source = (
    "MAE-Lite (arXiv 2205.14443), mae_lite_distill_exp.py: attention logits of the last blocks, weight 1; else as MAE"
)
