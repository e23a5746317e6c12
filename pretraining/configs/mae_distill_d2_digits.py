"""D2-MAE on the training images of scikit-learn's digits, with the settings of MAE on them."""

_base_ = ["mae_digits.py"]

source = "ours: no paper has it"
