from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from backbones.cost import measure_cost
from backbones.cost.flop_counter import compute_complexity
from backbones.cost.measure_cost import MAX_BATCH_SIZE, MIN_PASSES, measure_efficiency
from backbones.create import create_backbone
from results.records.measurements import EfficiencyRecord

SIZE = (3, 32, 32)


def make_model(name: str = "vit_pico", **arguments: Any) -> torch.nn.Module:
    return create_backbone(name, checkpoint="random", **{"num_classes": 0, **arguments}).model


def test_counts_are_those_of_the_backbone_as_the_run_made_it() -> None:
    model = make_model("vit_nano", img_size=64, num_classes=7)
    expected = compute_complexity(model, [torch.zeros(1, 3, 64, 64)])
    found = measure_efficiency(model, (3, 64, 64), "cpu", with_timing=False)
    assert found == {"img_size": [64, 64], **expected.as_dict()}


def test_times_come_raw_with_what_they_were_taken_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_cost, "TIMED_SECONDS", 0.02)
    found = EfficiencyRecord.model_validate(measure_efficiency(make_model(), SIZE, "cpu", with_timing=True))
    assert found.latency is not None
    assert found.throughput is not None
    assert found.latency.batch == 1
    assert len(found.latency.raw_ms) >= MIN_PASSES
    assert 1 <= found.throughput.batch <= MAX_BATCH_SIZE
    assert found.threads == torch.get_num_threads()
    assert found.runtime == f"torch {torch.__version__}"
    assert found.precision == "fp32"
    assert found.chip


def test_a_slow_backbone_is_timed_once_and_says_batch_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_cost, "TIMED_SECONDS", 0.0)
    found = measure_efficiency(make_model(), SIZE, "cpu", with_timing=True)
    assert found["throughput"] == found["latency"]
    assert len(found["latency"]["raw_ms"]) == MIN_PASSES


def test_random_numbers_that_follow_are_the_same_with_and_without_it() -> None:
    model = make_model()
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(0)
    np.random.seed(0)
    measure_efficiency(model, SIZE, "cpu", with_timing=False)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])


@pytest.mark.parametrize("name", ["vit_pico", "timm/resnet10t"])
def test_the_backbone_is_left_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_cost, "TIMED_SECONDS", 0.01)
    model = make_model(name, drop_path_rate=0.1)
    next(model.children()).eval()  # a part that a task froze
    state, modes = copy.deepcopy(model.state_dict()), [part.training for part in model.modules()]
    attributes = [sorted(vars(part)) for part in model.modules()]
    measure_efficiency(model, (3, 64, 64), "cpu", with_timing=True)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [part.training for part in model.modules()] == modes
    assert [sorted(vars(part)) for part in model.modules()] == attributes
