"""Nothing is picked on test: with the test labels shuffled the same is chosen and the same predicted."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from engine.data import digits as digits_data
from results.records.record import RunResult

SETTINGS = {
    "linear": ("grid.count=6",),
    "linear_sgd": ("optimizer.lr.count=6",),
    "lowshot": ("shots=8", "draws=3", "grid.count=6"),
}


class Run(NamedTuple):
    """What a cell chose, and the items as its CSV has them without their labels."""

    result: RunResult
    predictions: list[list[str]]


def run(protocol: str, out: Path) -> Run:
    """One cell of digits in this process."""
    cell = run_cell(
        CellRequest("digits", "vit_pico", protocol=protocol, out=out, device="auto", overrides=SETTINGS[protocol])
    )
    assert cell.record.result is not None
    with (cell.folder / "items.csv").open() as file:
        rows = list(csv.DictReader(file))
    kept = [[value for name, value in row.items() if name not in ("label", "place")] for row in rows]
    return Run(cell.record.result, kept)


def shuffled(digits: digits_data.DigitsData, split: str) -> digits_data.DigitsData:
    """The data with the labels of one split in another order."""
    labels = digits.labels.copy()
    members = digits.splits[split]
    labels[members] = np.random.default_rng(0).permutation(labels[members])
    return digits._replace(labels=labels, fingerprint=hashlib.sha256(labels.tobytes()).hexdigest())


@pytest.mark.parametrize("protocol", SETTINGS)
def test_the_test_labels_pick_nothing(protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    digits = digits_data.load_digits_data()

    def with_data(data: digits_data.DigitsData, name: str) -> Any:
        monkeypatch.setattr(digits_data, "load_digits_data", lambda: data)
        return run(protocol, tmp_path / name)

    before = run(protocol, tmp_path / "true")
    after = with_data(shuffled(digits, "test"), "test")
    assert after.result.selection == before.result.selection
    assert after.predictions == before.predictions
    assert after.result.metrics["top1"].value < 25 < before.result.metrics["top1"].value
    # and the val labels do pick: this test would not notice a choice that never looks
    other = with_data(shuffled(digits, "val"), "val")
    assert other.result.selection.value != before.result.selection.value
