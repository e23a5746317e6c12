"""One finished run for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.detection.finished_run import train_detector


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of bench on mini_coco."""
    with pytest.MonkeyPatch.context() as patch:
        # the tests' own cache, which the fixture of each test sets only later
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return train_detector(tmp_path_factory.mktemp("runs"))
