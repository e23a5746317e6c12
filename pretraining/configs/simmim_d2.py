"""SimMIM with decoupled distillation; the other settings are those of SimMIM."""

_base_ = ["simmim.py"]

# the width of 96 is the default of SimmimDistillRecipe
source = (
    "arXiv 2404.12210, simmim_distill_exp.py: a 13th block of queries and keys, reconstruction at stride 16 through a "
    "96-d Swin block; the teacher sees the masked image with its own mask token"
)
