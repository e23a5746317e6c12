"""``bench demo`` measures each model once for all of its runs."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from backbones.cost import measure_cost
from backbones.cost.measure_cost import measure_efficiency, share_measurements


def test_equal_models_are_measured_once_inside_and_anew_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def count(model: nn.Module, *_: Any) -> dict[str, Any]:
        measured.append(repr(model))
        return {"number": [len(measured)]}

    monkeypatch.setattr(measure_cost, "_measure_once", count)

    def measure(model: nn.Module, size: int = 8, with_timing: bool = True) -> list[int]:
        found: list[int] = measure_efficiency(model, (3, size, size), "cpu", with_timing=with_timing)["number"]
        return found

    with share_measurements():
        first = measure(nn.Linear(2, 2))
        assert measure(nn.Linear(2, 2)) == first == [1]
        first.append(0)
        assert measure(nn.Linear(2, 2)) == [1], "each run gets values of its own"
        others = [
            measure(nn.Linear(2, 3)),
            measure(nn.Linear(2, 2), size=16),
            measure(nn.Linear(2, 2), with_timing=False),
        ]
        assert others == [[2], [3], [4]]
    assert measure(nn.Linear(2, 2)) == [5]
    with share_measurements():
        assert measure(nn.Linear(2, 2)) == [6], "nothing is kept from one demo to the next"
