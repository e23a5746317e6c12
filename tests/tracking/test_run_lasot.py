"""``bench run lasot`` whole, on 50 short sequences in LaSOT's layout: zipped, unpacked, killed, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.main import main
from tests.conftest import BENCH, ROOT
from tests.limits import HANG_SECONDS
from tests.tracking.lasot_root import write_short_sequences, zip_categories

WORDS = (
    *("run", "lasot", "--subset", "--backbone", "vit_pico", "--protocol", "fast64", "--tier", "smoke", "--device"),
    *("cpu", "--set", "epochs=1", "pairs=16", "val_pairs=4", "batch_size=8", "head_channels=16", "schedule.warmup=0"),
    *("dataset_weights.photos=0", "dataset_weights.mini_lasot=1", "loggers=[]"),
)


def result(out: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The record, and every result file but the times."""
    (path,) = out.rglob("record.json")
    files = path.parent.glob("tracked/[!.]*.*")
    return json.loads(path.read_text()), {file.name: file.read_bytes() for file in files if "_times" not in file.name}


def children(number: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


@pytest.mark.soak
def test_kill_9_while_two_processes_track_and_resume_give_the_bytes_of_one(tmp_path: Path) -> None:
    """One process from zips, against two from folders that are killed in the middle and resumed by one."""
    unpacked = write_short_sequences(tmp_path / "lasot", 50)
    zipped = zip_categories(unpacked, tmp_path / "zipped")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main([*WORDS, "track_processes=1", "--data-root", str(zipped), "--out", str(whole)]) == 0

    again = [*WORDS, "--data-root", str(unpacked), "--out", str(cut)]
    child = subprocess.Popen(
        [BENCH, *again, "--set", "track_processes=2"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + HANG_SECONDS
    while len(list(cut.rglob("tracked/*-*[0-9].txt"))) < 5:
        assert child.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.002)
    helpers = children(child.pid)
    child.send_signal(signal.SIGKILL)
    child.wait(HANG_SECONDS)
    while any(Path(f"/proc/{number}").exists() for number in helpers):
        assert time.monotonic() < end, "orphans"
        time.sleep(0.05)
    tracked = {path: path.stat().st_mtime_ns for path in cut.rglob("tracked/*-*[0-9].txt")}
    assert 5 <= len(tracked) < 50, "killed in the middle of tracking"
    assert main([*again, "--set", "track_processes=1"]) == 0
    assert {path: path.stat().st_mtime_ns for path in tracked} == tracked, "what was finished was kept"

    (first, files), (second, cut_files) = result(whole), result(cut)
    assert len(files) == 2 * 50 + 1 and files == cut_files
    assert first["run_id"] == second["run_id"], "zips and folders have one fingerprint, processes are no identity"
    assert (first["non_identity_settings"]["track_processes"], first["data"]["splits"]) == (1, {"test": 50})
    speeds = [record["result"].pop("details")["speed"] for record in (first, second)]
    assert first["result"] == second["result"]
    assert [speed["processes"] for speed in speeds] == [[1], [1, 2]]
    assert {(speed["runtime"], speed["precision"], speed["threads"], speed["batch"]) for speed in speeds} == {
        ("torch", "fp32", 1, 1)
    }
    assert all(speed["end_to_end"]["frames"] == 50 * (8 - 5) for speed in speeds)
