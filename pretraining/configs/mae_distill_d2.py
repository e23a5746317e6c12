"""D2-MAE: decoupled distillation, its recipe otherwise that of MAE."""

_base_ = ["mae.py"]

source = (
    "arXiv 2404.12210, mae_lite_distill_d2_exp.py: reconstruction from block 8, a 13th block of queries and keys; else "
    "as MAE"
)
