"""Archives for test servers: the format, the completeness check, the same bytes again."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import BenchError, DataError, IncompleteError
from tests.tracking.scoring.conftest import random_boxes
from tests.tracking.scoring.test_sets import save
from tracking.scoring.submission import SERVER_TEST_SETS, ServerTestSet, pack_submission


@pytest.fixture
def trackingnet(tmp_path: Path) -> ServerTestSet:
    for i, name in enumerate(("0-6LB4FqxoE_0", "zGsV_2", "a_1")):
        save(tmp_path / "TrackingNet" / "TEST" / "anno" / f"{name}.txt", random_boxes(i, 1))
        folder = tmp_path / "TrackingNet" / "TEST" / "frames" / name
        folder.mkdir(parents=True)
        for frame in range(10 + i):
            (folder / f"{frame}.jpg").touch()
        save(tmp_path / "r" / f"{name}.txt", random_boxes(i, 10 + i), "\t")
    return replace(SERVER_TEST_SETS["trackingnet"], expected_sequences=3)


@pytest.fixture
def got10k(tmp_path: Path) -> ServerTestSet:
    names = [f"GOT-10k_Test_{i:06d}" for i in (1, 2)]
    for i, name in enumerate(names):
        folder = tmp_path / "got10k" / "test" / name
        folder.mkdir(parents=True)
        for frame in range(8 + i):
            (folder / f"{frame + 1:08d}.jpg").touch()
        for run in (1, 2, 3):
            save(tmp_path / "r" / name / f"{name}_{run:03d}.txt", random_boxes(10 * run + i, 8 + i))
        save(tmp_path / "r" / name / f"{name}_time.txt", np.full((8 + i, 3), 0.0123), form="%.8f")
    (tmp_path / "got10k" / "test" / "list.txt").write_text("\n".join(names))
    return replace(SERVER_TEST_SETS["got10k_test"], expected_sequences=2)


def test_trackingnet_is_a_flat_archive_of_commas(trackingnet: ServerTestSet, tmp_path: Path) -> None:
    out = tmp_path / "a.zip"
    done = pack_submission(trackingnet, tmp_path, tmp_path / "r", out)
    assert (done["sequences"], done["frames"]) == (3, 33)
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["0-6LB4FqxoE_0.txt", "a_1.txt", "zGsV_2.txt"]
        lines = archive.read("a_1.txt").decode().splitlines()
    back = np.array([[float(word) for word in line.split(",")] for line in lines])
    np.testing.assert_allclose(back, random_boxes(2, 12), atol=1e-3)
    first = out.read_bytes()
    pack_submission(trackingnet, tmp_path, tmp_path / "r", out)
    assert out.read_bytes() == first


def test_got10k_test_has_repetitions_and_times(got10k: ServerTestSet, tmp_path: Path) -> None:
    pack_submission(got10k, tmp_path, tmp_path / "r", tmp_path / "a.zip")
    name = "GOT-10k_Test_000002"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len(archive.namelist()) == 8
        assert archive.read(f"{name}/{name}_time.txt").decode().splitlines() == ["0.01230000,0.01230000,0.01230000"] * 9
        again = np.loadtxt(archive.open(f"{name}/{name}_003.txt"), delimiter=",")
    np.testing.assert_allclose(again, random_boxes(31, 9), atol=1e-3)


def test_what_is_not_whole_makes_no_archive(trackingnet: ServerTestSet, got10k: ServerTestSet, tmp_path: Path) -> None:
    out = tmp_path / "a.zip"

    def refused(server: ServerTestSet, says: str, kind: type[BenchError] = IncompleteError) -> None:
        with pytest.raises(kind, match=says):
            pack_submission(server, tmp_path, tmp_path / "r", out)
        assert not out.exists()

    refused(replace(trackingnet, expected_sequences=511), "has 3 sequences, TrackingNet test has 511", DataError)
    save(tmp_path / "r" / "a_1.txt", random_boxes(2, 11))
    refused(trackingnet, r"wrong length: a_1 \(11 of 12 boxes\)")
    (tmp_path / "r" / "a_1.txt").unlink()
    refused(trackingnet, "missing: a_1")
    name = "GOT-10k_Test_000002"
    times = tmp_path / "r" / name / f"{name}_time.txt"
    save(times, np.full((7, 1), 0.1))
    refused(got10k, "7 labels for 9 frames", DataError)
    times.unlink()
    refused(got10k, f"lacks {name}_time.txt")
    save(tmp_path / "r" / name / f"{name}_002.txt", random_boxes(1, 8))
    refused(got10k, r"wrong length: GOT-10k_Test_000002 \(8 of 9 boxes\)")
    for path in (tmp_path / "got10k" / "test" / name).glob("*.jpg"):
        path.unlink()
    refused(got10k, f"has no images of {name}", DataError)
