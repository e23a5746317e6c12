"""How far an export may be from PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from deployment.parity import OutputTolerance, compare_outputs, require_output_parity
from engine.evaluation.model_source import Precision
from foundation.errors import BenchError

TOLERANCES: dict[Precision, dict[str, OutputTolerance]] = {
    "f32": {"logits": OutputTolerance(1e-4), "boxes": OutputTolerance(0.05, " px")}
}


def test_outputs_are_compared_by_name_and_shape() -> None:
    ours = {"logits": np.array([1.0, -2.0]), "boxes": np.zeros((2, 4))}
    theirs = {"logits": np.array([1.0, -2.25]), "boxes": np.full((2, 4), 0.5)}
    assert compare_outputs(ours, theirs) == {"logits": 0.25, "boxes": 0.5}
    for other in ({"logits": ours["logits"]}, {**ours, "boxes": np.zeros((1, 4))}):
        with pytest.raises(BenchError, match="export the model again"):
            compare_outputs(ours, other)


def test_f32_is_held_to_its_tolerances_and_other_precisions_are_reported() -> None:
    require_output_parity({"logits": 1e-4, "boxes": 0.05}, TOLERANCES, "f32", "the export")
    with pytest.raises(BenchError, match=r"boxes differ by up to 0\.06 px \(0\.05 allowed\); nothing was written"):
        require_output_parity({"logits": 0.0, "boxes": 0.06}, TOLERANCES, "f32", "the export")
    with pytest.raises(BenchError, match=r"logits differ by up to 0\.001 \(0\.0001 allowed\), boxes differ"):
        require_output_parity({"logits": 1e-3, "boxes": 1.0}, TOLERANCES, "f32", "the export")
    require_output_parity({"logits": 1.0, "boxes": 9.0}, TOLERANCES, "int8", "the export")


@pytest.mark.parametrize("precision", ["f32", "bf16", "int8"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_in_every_precision(precision: Precision, value: float) -> None:
    with pytest.raises(BenchError, match="not finite"):
        require_output_parity({"logits": value, "boxes": 0.0}, TOLERANCES, precision, "the export")
