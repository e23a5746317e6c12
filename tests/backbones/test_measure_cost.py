from __future__ import annotations

import pytest
import torch

from backbones import measure_cost
from backbones.create import create_backbone
from backbones.flop_counter import count
from backbones.measure_cost import LARGEST_BATCH, LEAST, measure
from backbones.registry import get_card
from results.records.record import Efficiency


def test_counts_are_those_of_the_backbone_as_the_run_made_it() -> None:
    found = measure(get_card("vit_nano"), {"img_size": 64, "num_classes": 7}, "cpu", timed=False)
    model = create_backbone("vit_nano", img_size=64, num_classes=7).model
    expected = count(model, [torch.zeros(1, 3, 64, 64)])
    assert found == {"img_size": [64, 64], **expected.as_dict()}


def test_the_cards_own_size_is_taken_where_the_run_names_none() -> None:
    assert measure(get_card("vit_nano"), {"num_classes": 0}, "cpu", timed=False)["img_size"] == [32, 32]


def test_times_come_raw_with_what_they_were_taken_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_cost, "SECONDS", 0.02)
    found = Efficiency.model_validate(measure(get_card("vit_pico"), {"num_classes": 0}, "cpu", timed=True))
    assert found.latency is not None
    assert found.throughput is not None
    assert found.latency.batch == 1
    assert len(found.latency.raw_ms) >= LEAST
    assert 1 <= found.throughput.batch <= LARGEST_BATCH
    assert found.threads == torch.get_num_threads()
    assert found.runtime == f"torch {torch.__version__}"
    assert found.precision == "fp32"
    assert found.chip


def test_a_slow_backbone_is_timed_once_and_says_batch_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_cost, "SECONDS", 0.0)
    found = measure(get_card("vit_pico"), {"num_classes": 0}, "cpu", timed=True)
    assert found["throughput"] == found["latency"]
    assert len(found["latency"]["raw_ms"]) == LEAST


def test_random_numbers_that_follow_are_the_same_with_and_without_it() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    measure(get_card("vit_pico"), {"num_classes": 0}, "cpu", timed=False)
    assert torch.equal(torch.rand(3), expected)
