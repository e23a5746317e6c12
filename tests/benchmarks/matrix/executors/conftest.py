"""The outcome of cells that are run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.matrix.executors.executor import CellJob
from benchmarks.run_cell import run_cell
from tests.benchmarks.matrix.executors.make_jobs import read_outcome

RunPlainly = Callable[[CellJob], tuple[str, Any, Any]]


@pytest.fixture(scope="session")
def run_plainly(tmp_path_factory: pytest.TempPathFactory) -> RunPlainly:
    """Runs a cell as ``bench run`` does, in a store of its own; a cell that was run before is answered."""
    out = tmp_path_factory.mktemp("plain")
    return lambda job: read_outcome(run_cell(replace(job.request, out=out)).folder)
