"""What two processes find, from one start for all tests of this folder, as it takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.engine.processes.start import collect_findings
from tests.tracking.lasot_root import write_short_sequences


class Findings(NamedTuple):
    """What each of two processes found, and the folder that they worked in."""

    folder: Path
    found: list[dict[str, Any]]


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    folder = write_short_sequences(tmp_path_factory.mktemp("two") / "lasot", 5).parent
    return Findings(folder, collect_findings("tests.engine.processes.proofs", folder, 2))
