"""``bench cache``: calibrations and leftovers are listed with their sizes, and removed by ``--prune``."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from foundation.storage.leftovers import make_partial_file, open_partial_folder

LONG_AGO = 10**9


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with a calibration, and with what killed and living processes left there and in the temporary folder."""
    folder = tmp_path / "cache"
    (folder / "calibrations").mkdir(parents=True)
    (folder / "calibrations" / "a.json").write_text("{}")
    (folder / "weights").mkdir()
    (tmp_path / "tmp" / "bench-onnx-abcd_123.tmp").mkdir(parents=True, mode=0o700)
    (tmp_path / "tmp" / "bench-onnx-abcd_123.tmp" / "model").write_bytes(bytes(1000))
    (tmp_path / "tmp" / "mine").mkdir()
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return folder


def test_leftovers_and_calibrations(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    descriptor, half = make_partial_file(cache / "weights" / "a.pth")
    os.write(descriptor, bytes(10))
    os.close(descriptor)
    scratch = cache.parent / "tmp" / "bench-onnx-abcd_123.tmp"
    for path in (half, scratch / "model", scratch, cache / "calibrations" / "a.json"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    with open_partial_folder(cache / "mini") as living:
        os.utime(living, (LONG_AGO, LONG_AGO))
        assert main(["cache", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert listed["calibrations"] == {"folder": str(cache / "calibrations"), "num_files": 1, "num_bytes": 2}
        left = {found["path"]: found["num_bytes"] for found in listed["leftovers"]}
        assert left == {str(half): 10, str(scratch): 1000}
        assert main(["cache"]) == 0
        said = capsys.readouterr().out
        assert f"1 file, 0.0 MiB of calibrations of sweeps in {cache / 'calibrations'}" in said
        assert f"left by a killed process: {scratch}, 0.0 MiB" in said
        assert main(["cache", "--prune", "--json"]) == 0
        pruned = json.loads(capsys.readouterr().out)
        assert {found["path"] for found in pruned["removed_leftovers"]} == set(left)
        assert (pruned["removed_calibrations"]["num_files"], pruned["leftovers"]) == (1, [])
        assert living.exists() and not half.exists() and not scratch.exists()
    assert main(["cache", "--prune"]) == 0
    assert "0 leftovers, 0.0 MiB of killed processes" in capsys.readouterr().out
    assert (cache.parent / "tmp" / "mine").exists()
