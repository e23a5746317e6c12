"""D2-MAE: decoupled distillation; the other settings are those of MAE."""

_base_ = ["mae.py"]

# block 8 follows from the default of decode_layer, two thirds of the depth
source = (
    "arXiv 2404.12210, mae_lite_distill_d2_exp.py: reconstruction from block 8, a 13th block of queries and keys; else "
    "as MAE"
)
