"""D2-MAE on the training images of scikit-learn digits: MAE as there."""

_base_ = ["mae_digits.py"]

source = "ours: no paper has it"
