from __future__ import annotations

import pytest
import torch

from backbones import measure_cost
from backbones.create import create_backbone
from backbones.flop_counter import compute_complexity
from backbones.measure_cost import MAX_BATCH_SIZE, MIN_PASSES, measure_efficiency
from backbones.registry import get_card
from results.records.record import EfficiencyRecord


def test_counts_are_those_of_the_backbone_as_the_run_made_it() -> None:
    found = measure_efficiency(get_card("vit_nano"), {"img_size": 64, "num_classes": 7}, "cpu", with_timing=False)
    model = create_backbone("vit_nano", img_size=64, num_classes=7).model
    expected = compute_complexity(model, [torch.zeros(1, 3, 64, 64)])
    assert found == {"img_size": [64, 64], **expected.as_dict()}


def test_the_cards_own_size_is_taken_where_the_run_names_none() -> None:
    assert measure_efficiency(get_card("vit_nano"), {"num_classes": 0}, "cpu", with_timing=False)["img_size"] == [
        32,
        32,
    ]


def test_times_come_raw_with_what_they_were_taken_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_cost, "TIMED_SECONDS", 0.02)
    found = EfficiencyRecord.model_validate(
        measure_efficiency(get_card("vit_pico"), {"num_classes": 0}, "cpu", with_timing=True)
    )
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
    found = measure_efficiency(get_card("vit_pico"), {"num_classes": 0}, "cpu", with_timing=True)
    assert found["throughput"] == found["latency"]
    assert len(found["latency"]["raw_ms"]) == MIN_PASSES


def test_random_numbers_that_follow_are_the_same_with_and_without_it() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    measure_efficiency(get_card("vit_pico"), {"num_classes": 0}, "cpu", with_timing=False)
    assert torch.equal(torch.rand(3), expected)
