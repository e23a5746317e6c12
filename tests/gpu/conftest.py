"""Every test of this folder needs a CUDA device."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

HOME = Path(__file__).parent

OUTCOMES_VAR = "BENCH_GPU_OUTCOMES"
"""Names the file that gets a line for each test as soon as it ended, so that a stop loses nothing."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Writes the outcome of a test; with workers the first process hears of all of them."""
    path = os.environ.get(OUTCOMES_VAR)
    has_ended = report.when == "call" or report.outcome != "passed"
    if path and has_ended and "PYTEST_XDIST_WORKER" not in os.environ:
        line = {"name": report.nodeid, "outcome": report.outcome, "seconds": report.duration}
        reason = report.longrepr if isinstance(report.longrepr, tuple) else str(report.longrepr or "").splitlines()[-1:]
        with Path(path).open("a") as file:
            file.write(json.dumps({**line, "message": " ".join(map(str, reason))[:300]}) + "\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder, so that nobody can forget to."""
    for item in items:
        if HOME in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            item.add_marker(pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniatures are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(one_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(one_cache))
