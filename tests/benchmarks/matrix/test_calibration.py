"""A calibration makes a real run until its pace is known: its totals are those of the real run, and nothing is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.matrix.calibration import Calibration, calibrate_cell
from benchmarks.run_cell import run_cell
from engine.calibration.scope import CalibrationScope, get_calibration
from foundation.errors import UserError
from tests.benchmarks.matrix.make import make_request


def calibrate(tmp_path: Path, **changes: Any) -> Calibration:
    """Calibrates a smoke run in this process, with an empty cache."""
    found = calibrate_cell(make_request(tmp_path, tier="smoke", **changes), 1, CalibrationScope(0, 0.1, 2))
    assert not list(tmp_path.iterdir()), "a calibration keeps nothing"
    assert get_calibration() is None
    return found


def test_a_training_is_timed_with_its_validations_checkpoints_and_test(tmp_path: Path) -> None:
    found = calibrate(tmp_path, protocol="finetune")
    # 1,169, 269 and 359 digits in batches of 64, 2 epochs
    totals = {loop.phase: loop.total for loop in found.loops}
    assert totals == {"train": 2 * 19, "validate": 2 * 5, "save checkpoints": 2, "test": 6}
    assert all(0 < loop.measured <= loop.total and loop.seconds > 0 for loop in found.loops)
    assert found.num_steps == 38
    folder = run_cell(make_request(tmp_path, tier="smoke", protocol="finetune")).folder
    kept = sum(path.stat().st_size for path in (folder / "checkpoints").glob("*.pth"))
    assert found.disk_bytes == pytest.approx(kept, rel=0.02)


@pytest.mark.parametrize("protocol", ["knn", "linear", "lowshot", "linear_sgd"])
def test_a_frozen_probe_is_timed_without_a_feature_of_it_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    request = make_request(tmp_path / "runs", tier="smoke", protocol=protocol)
    found = calibrate_cell(request, 1, CalibrationScope(0, 0.1, 2))
    assert not list((tmp_path / "cache").rglob("*.npy"))
    totals = {loop.phase: loop.total for loop in found.loops}
    assert totals["features of train"] <= 1169
    assert found.cache_bytes > 0
    work = {"knn": "vote", "linear": "fit", "lowshot": "fit", "linear_sgd": "train heads"}[protocol]
    assert totals[work] > 0
    assert found.num_steps == 0
    assert run_cell(request).record.status == "complete", "a real run is not cut short"


def test_a_segmentation_is_timed(tmp_path: Path) -> None:
    totals = {loop.phase: loop.total for loop in calibrate(tmp_path, task="mini_ade", protocol="linear").loops}
    assert totals["train"] == 6
    assert "test" in totals


@pytest.mark.soak
def test_a_tracker_is_timed(tmp_path: Path) -> None:
    found = calibrate(tmp_path, task="mini_lasot", protocol=None, overrides=("track_processes=1",))
    totals = {loop.phase: loop.total for loop in found.loops}
    assert totals["track"] > 0
    assert totals["train"] == found.num_steps > 0


def test_a_cell_that_cannot_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the decode_head reads 4"):
        calibrate(tmp_path, task="mini_ade", protocol="upernet", backbone="vit_pico")
