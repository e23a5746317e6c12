"""What no machine can have measured is refused: a number made up would be shown, or stop a whole table."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from results.records.measurements import EfficiencyRecord
from results.records.record import BackboneRecord, ConfidenceInterval
from tests.results.make import make_cost, make_record


def make_efficiency(part: str, field: str | None, value: Any) -> dict[str, Any]:
    content: dict[str, Any] = copy.deepcopy(make_cost(100, 1.0)["efficiency"])
    if field is None:
        content[part] = value
    else:
        content[part] |= {field: value}
    return content


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        *(("latency", "raw_ms", [value]) for value in (0.0, -1.0, 5e-324, 1e308)),
        *(("throughput", "raw_ms", [1.0, value]) for value in (0.0, -1.0, 5e-324, 1e308)),
        ("latency", "raw_ms", []),
        ("latency", "batch", 64),  # would be shown as the milliseconds of one image
        *(("throughput", "batch", value) for value in (0, -64, 10**400)),
        *((name, None, value) for name in ("parameters", "macs", "activations") for value in (-1, 10**400)),
        *(("load_average", None, -0.1), ("other_load", None, -5.0), ("other_load", None, 1.1)),
        *((name, None, value) for name in ("threads", "processors") for value in (0, -3)),
    ],
)
def test_impossible_measurements_are_refused(part: str, field: str | None, value: Any) -> None:
    with pytest.raises(ValidationError, match=part):
        EfficiencyRecord.model_validate(make_efficiency(part, field, value))


def test_possible_measurements_are_taken() -> None:
    for part, field, value in (("latency", "raw_ms", [1e-6]), ("throughput", "batch", 1), ("macs", None, 0)):
        EfficiencyRecord.model_validate(make_efficiency(part, field, value))


@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0, 1e308])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(ValidationError, match="level"):
        ConfidenceInterval(low=0.0, high=1.0, level=level, method="wilson", resampling_unit="images")


def test_a_count_of_a_backbone_is_one() -> None:
    content = make_record().backbone.model_dump()
    with pytest.raises(ValidationError, match="parameters"):
        BackboneRecord.model_validate(content | {"parameters": 10**400})
