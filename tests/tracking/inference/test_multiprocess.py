"""Tracking by several processes, or side by side: the same boxes, nothing lost, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foundation.errors import BenchError, DataError
from tests.conftest import ROOT
from tests.limits import HANG_SECONDS
from tests.tracking.lasot_root import write_short_sequences
from tests.tracking.make import make_tracker_model
from tests.tracking.slow import SlowTrackerFactory, truncate_video
from tracking.data.pair import CropSizes
from tracking.data.readers import lasot
from tracking.data.readers.sequence import Video
from tracking.inference import multiprocess
from tracking.inference.backend import TorchNetwork
from tracking.inference.batched import track_batched
from tracking.inference.multiprocess import track_multiprocess
from tracking.inference.options import TrackingOptions
from tracking.inference.result_files import boxes_path, discard_foreign_results
from tracking.inference.sequential import track_sequence, track_sequences
from tracking.inference.test_set import track_test_set
from tracking.inference.tracker import Tracker

SIZES = CropSizes(64, 128, 2.0, 4.0)


@pytest.fixture
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Video]:
    """Six sequences, of 8, 7 .. 3 frames."""
    folder = tmp_path_factory.getbasetemp() / "lasot_of_8_frames"
    found = lasot.read_test_videos(folder if folder.is_dir() else write_short_sequences(folder, 6))
    return [truncate_video(video, 8 - number) for number, video in enumerate(found)]


@dataclass(frozen=True)
class Nano:
    """A real network, the same in every process."""

    device: str = "cpu"
    weights: int = 0

    def __call__(self) -> Tracker:
        return Tracker(TorchNetwork(make_tracker_model(head_channels=16)), SIZES)

    def describe_provenance(self) -> dict[str, Any]:
        return {"weights": self.weights, "runtime": "torch", "precision": "fp32", "device": self.device}


def files(folder: Path) -> dict[str, bytes]:
    """All result files but the times."""
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*.txt") if "_times" not in path.name}


def alive(folder: Path) -> list[int]:
    """Processes of ``SlowTrackerFactory`` that still run."""
    numbers = [int(path.name.removeprefix("pid_")) for path in folder.glob("pid_*")]
    return [number for number in numbers if _runs(number)]


def _runs(number: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def gone(folder: Path, seconds: float = HANG_SECONDS) -> bool:
    end = time.monotonic() + seconds
    while alive(folder) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(folder)


def test_one_process_tracks_with_one_thread_and_says_how_fast(videos: list[Video], tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    speed = track_test_set(Nano(), videos, tmp_path, "one", TrackingOptions(num_processes=1))
    assert torch.get_num_threads() == threads
    assert (speed["processes"], speed["threads"], speed["batch"]) == ([1], 1, 1)
    assert speed["end_to_end"]["frames"] == sum(max(0, len(video.frames) - 5) for video in videos)
    assert speed["end_to_end"]["median_ms"] > speed["network"]["median_ms"] > 0
    raw = np.loadtxt(tmp_path / f"{videos[0].name}_times.txt", delimiter=",")
    assert raw.shape == (8, 2) and (raw[:, 0] >= raw[:, 1]).all()


def test_processes_share_the_work_and_report_it(
    videos: list[Video], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.progress_bar.LOG_INTERVAL_SECONDS", 0.0)
    speed = track_test_set(
        SlowTrackerFactory(tmp_path, 0.05), videos, tmp_path / "out", "slow", TrackingOptions(num_processes=2)
    )
    assert speed["processes"] == [2] and len(list(tmp_path.glob("pid_*"))) == 2
    assert len(files(tmp_path / "out")) == 12 and not list((tmp_path / "out").glob(".*"))
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"slow: 33/33 frames, \d+ a second, 5/6 sequences", last), last
    assert gone(tmp_path)


@pytest.mark.parametrize("own", [False, True])
def test_side_by_side_is_one_by_one_to_rounding(own: bool, videos: list[Video], tmp_path: Path) -> None:
    """Sequences of different length leave and enter; boxes differ by float rounding only."""
    tracker = Tracker(TorchNetwork(make_tracker_model(asymmetric_attention=own, head_channels=16)), SIZES)
    videos = [*videos, truncate_video(videos[0], 1)]
    videos[-1] = replace(videos[-1], name="a-1")
    track_batched(tracker, videos, tmp_path, "together", batch_size=3)
    for video in videos:
        saved = np.loadtxt(boxes_path(tmp_path, video), delimiter=",", ndmin=2)
        assert np.abs(saved - track_sequence(tracker, video).boxes).max() < 0.002, video.name


def test_side_by_side_does_not_depend_on_what_is_left(videos: list[Video], tmp_path: Path) -> None:
    """The network always sees a full batch, so a resumed run rounds as one that was never stopped."""
    tracker = Tracker(TorchNetwork(make_tracker_model(head_channels=16)), SIZES)
    sizes = set()
    look = tracker.network.predict_maps

    def watched(memories: Any, crops: Any) -> Any:
        sizes.add((len(memories), len(crops)))
        return look(memories, crops)

    tracker.network.predict_maps = watched  # type: ignore[method-assign]
    track_batched(tracker, videos, tmp_path, "together", batch_size=4)
    assert sizes == {(4, 4)}


def test_a_killed_process_ends_the_run_with_one_sentence(videos: list[Video], tmp_path: Path) -> None:
    make, out = SlowTrackerFactory(tmp_path), tmp_path / "out"
    out.mkdir()

    def kill() -> None:
        while not list(out.glob("*-*[0-9].txt")):
            time.sleep(0.01)
        (tmp_path / "die").touch()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(
        BenchError, match=r"was ended by SIGKILL in sequence .*lower track_processes.*are kept"
    ) as caught:
        track_multiprocess(make, videos, out, "slow", 2)
    thread.join()
    assert "\n" not in str(caught.value) and gone(tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*-*[0-9].txt")}
    assert kept
    (tmp_path / "die").unlink()
    track_sequences(make(), videos, out, "slow")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_process_that_dies_before_it_is_given_anything_is_named(
    videos: list[Video], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pipe was broken, which the command took for a reader of its output that has gone: exit code 1, no word."""

    @contextlib.contextmanager
    def kill_at_start() -> Iterator[None]:
        yield
        for child in multiprocessing.active_children():
            child.kill()
            child.join()

    monkeypatch.setattr(multiprocess, "_ignore_sigint", kill_at_start)
    with pytest.raises(BenchError, match="a tracking process was ended by SIGKILL while it started"):
        track_multiprocess(Nano(), videos, tmp_path, "nano", 1)


def test_bad_data_in_a_process_is_the_sentence_it_was(videos: list[Video], tmp_path: Path) -> None:
    image = tmp_path / "00000003.jpg"
    image.write_bytes(b"none")
    bad = replace(videos[1], frames=[*videos[1].frames[:2], image, *videos[1].frames[3:]])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"00000003\.jpg cannot be decoded"):
        track_multiprocess(SlowTrackerFactory(tmp_path), [bad], tmp_path, "slow", 2)
    assert gone(tmp_path)


SCRIPT = """
import signal
import sys
from pathlib import Path
from engine.processes.stop_signals import raise_stop_signals
from tests.tracking.slow import SlowTrackerFactory
from tracking.data.readers import lasot
from tracking.inference.multiprocess import track_multiprocess

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    folder = Path(sys.argv[2])
    videos = lasot.read_test_videos(Path(sys.argv[1]))
    with raise_stop_signals():
        track_multiprocess(SlowTrackerFactory(folder, 0.5), videos, folder, "slow", 2)
"""


@pytest.mark.parametrize(
    ("send", "number", "last"),
    [(os.killpg, signal.SIGINT, "KeyboardInterrupt"), (os.kill, signal.SIGTERM, "StopSignal: stopped by SIGTERM")],
)
def test_a_stop_leaves_no_orphan(
    send: Callable[[int, int], None], number: int, last: str, videos: list[Video], tmp_path: Path
) -> None:
    """Ctrl-C goes to all processes of the terminal at once; only the first one speaks of it."""
    (tmp_path / "script.py").write_text(SCRIPT)
    root = str(Path(str(videos[0].frames[0])).parents[3])
    child = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), root, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + HANG_SECONDS
    while len(alive(tmp_path)) < 2:
        assert child.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    send(child.pid, number)
    assert gone(tmp_path)
    said = child.communicate(timeout=HANG_SECONDS)[1]
    assert said.count("Traceback") == 1 and said.rstrip().endswith(last), said


def test_files_of_other_weights_or_another_length_are_not_taken(
    videos: list[Video], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def again(weights: int) -> set[str]:
        """Which sequences are tracked anew."""
        before = {video.name: changed(video) for video in videos}
        track_test_set(Nano(weights=weights), videos, tmp_path, "nano", TrackingOptions(num_processes=1))
        return {video.name for video in videos if changed(video) != before[video.name]}

    def changed(video: Video) -> int:
        path = boxes_path(tmp_path, video)
        return path.stat().st_mtime_ns if path.is_file() else 0

    names = {video.name for video in videos}
    assert again(0) == names and again(0) == set()
    path = boxes_path(tmp_path, videos[1])
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    assert again(0) == {videos[1].name}
    (tmp_path / f"{videos[2].name}_confidence.txt").write_text("1\n")
    assert again(0) == {videos[2].name}
    path = boxes_path(tmp_path, videos[3])
    path.write_text("\n".join(["1,2,30,40", *path.read_text().splitlines()[1:]]) + "\n")
    assert again(0) == {videos[3].name}, "another first box"
    assert "with other weights" not in capsys.readouterr().err
    assert again(1) == names
    assert "6 result files" in capsys.readouterr().err
    assert json.loads((tmp_path / "made_by.json").read_text())["weights"] == 1


def test_files_that_nothing_describes_are_not_taken(videos: list[Video], tmp_path: Path) -> None:
    for video in videos:
        boxes_path(tmp_path, video).write_text("1,2,3,4\n")
    (tmp_path / ".half.tmp").touch()
    discard_foreign_results(tmp_path, videos, {"weights": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["made_by.json"]
