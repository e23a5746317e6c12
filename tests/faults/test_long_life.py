"""A process that works for long holds no more at its end than near its beginning.

The counts are the sharp measure: a leak of one object in each step is seen after a few. Memory is measured as well,
with room for the system's allocator, which gives pages back late.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.faults import long_life
from tests.faults.long_life import Growth, Step, measure_all, measure_growth


def require_flat(growth: Growth, memory_mib: float) -> None:
    """Pass if memory and counts stay; the interpreter's own tables may gain a few objects."""
    text = f"{growth.name}: {growth.first} -> {growth.last}"
    assert growth.last[1:4] == growth.first[1:4], f"files, threads or handlers of loggers are left: {text}"
    assert growth.last.objects - growth.first.objects < 5 + growth.steps / 2, f"objects are left by each step: {text}"
    assert growth.memory_mib < memory_mib, f"memory grows: {text}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the digits."""
    out = tmp_path_factory.mktemp("first")
    long_life.make_worker_cells(out)(0)
    return next(out.glob("digits/*"))


def test_evaluations_leave_nothing(run: Path, tmp_path: Path) -> None:
    require_flat(measure_growth("evaluations", long_life.make_evaluations(run, tmp_path), 2, every=1, warm_up=1), 30)


@pytest.mark.soak
@pytest.mark.usefixtures("run")  # the first training, which warms up
def test_trainings_leave_nothing(tmp_path: Path) -> None:
    """mmengine keeps a logger, a message hub and a visualizer by the name of each runner until they are taken away."""
    require_flat(measure_growth("trainings", long_life.make_worker_cells(tmp_path), 2, every=1, warm_up=0), 30)


def test_scores_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_life, "NUM_SCORED", 10)
    require_flat(measure_growth("scores", long_life.make_scored_sequences(tmp_path), 6, every=1, warm_up=2), 20)


def test_checks_of_data_leave_nothing(tmp_path: Path) -> None:
    images = long_life.make_images(tmp_path / "images", 60)
    require_flat(measure_growth("checks", long_life.make_checks(images), 6, every=1, warm_up=2), 20)


def test_a_leak_is_seen() -> None:
    """Of some small objects, and of a handler, in each step."""
    kept: list[list[int]] = []
    logger = logging.getLogger("tests.leak")
    leaks: list[tuple[Step, str]] = [
        (lambda number: kept.extend([number] for _ in range(4)), "objects are left"),
        (lambda _: logger.addHandler(logging.NullHandler()), "handlers of loggers are left"),
    ]
    for step, message in leaks:
        with pytest.raises(AssertionError, match=message):
            require_flat(measure_growth("leak", step, 6, every=1, warm_up=1), 20)
    logger.handlers.clear()


@pytest.mark.soak
def test_long_work_at_full_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 evaluations, 40 trainings, 60 cells of k-NN, 2,000 sequences and 100,000 images; about ten minutes of CPU."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    grown = list(measure_all(tmp_path))
    for growth in grown:
        require_flat(growth, 25)
    assert len(grown) == 5
