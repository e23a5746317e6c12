"""Fixtures that several test modules use."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.environment import SHARED_DATA

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def shared_data() -> Path:
    """The folder of shared real data; tests that use it are skipped by name where it is missing."""
    folder = SHARED_DATA.path() or ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared real data at {folder} (set $BENCH_SHARED_DATA)")
    return folder
