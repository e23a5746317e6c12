"""D-MAE: MAE with a teacher's attention logits, its recipe otherwise that of MAE."""

_base_ = ["mae.py"]

source = (
    "MAE-Lite (arXiv 2205.14443), mae_lite_distill_exp.py: attention logits of the last blocks, weight 1; else as MAE"
)
