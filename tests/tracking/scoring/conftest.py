"""Real LaSOT results, unpacked once, and a small set in LaSOT's layout."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from foundation.environment import SHARED_DATA_VAR
from tests.conftest import ROOT


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``lasot/`` (ground truth), ``ATOM/`` and ``SiamRPNpp/``; skipped by name where it is missing."""
    source = (SHARED_DATA_VAR.read_path() or ROOT.parent / "shared" / "data") / "lasot"
    if not source.is_dir():
        pytest.skip(f"no real LaSOT results at {source} (set $BENCH_SHARED_DATA)")
    folder = tmp_path_factory.mktemp("lasot")
    for archive in sorted(source.glob("*.tar.xz")):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return folder


def write_sequence(root: Path, name: str, boxes: np.ndarray, absent: np.ndarray | None = None) -> None:
    """One sequence in LaSOT's layout, without its images."""
    folder = root / name.rpartition("-")[0] / name
    folder.mkdir(parents=True)
    np.savetxt(folder / "groundtruth.txt", boxes, fmt="%.2f", delimiter=",")
    flags = np.zeros(len(boxes), dtype=int) if absent is None else absent.astype(int)
    (folder / "full_occlusion.txt").write_text(",".join(map(str, flags)) + "\n")
    (folder / "out_of_view.txt").write_text(",".join("0" for _ in flags) + "\n")


def random_boxes(seed: int, frames: int, jitter: np.ndarray | None = None) -> np.ndarray:
    """Boxes in the manner of a target that wanders, or (given boxes) of a tracker that follows them badly."""
    random = np.random.default_rng(seed)
    if jitter is None:
        steps = np.cumsum(random.normal(0, 4, (frames, 2)), axis=0) + np.array([200, 150])
        return np.round(np.hstack([steps, random.uniform(30, 60, (frames, 2))]), 2)
    noise = random.normal(0, 1, jitter.shape) * [8, 8, 5, 5]
    return np.round(np.hstack([(jitter + noise)[:, :2], np.abs((jitter + noise)[:, 2:])]), 2)
