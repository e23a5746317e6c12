"""Frames of videos, folders and cameras, and what is said where there are none."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from engine.data.quiet_decoders import silence_opencv
from foundation.errors import DataError
from tests.limits import HANG_SECONDS
from tracking.inference.prefetch import PrefetchIterator
from tracking.video import frame_source as frames_module
from tracking.video.frame_source import open_frame_source

COUNT = 12


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """RGB, another one for each number."""
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


def write_folder(folder: Path, count: int = COUNT, suffix: str = ".png") -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"shot{number + 1}{suffix}"), picture(number)[..., ::-1])
    return folder


def write_video(path: Path, count: int = COUNT, code: str = "FFV1", fps: float = 25.0) -> Path:
    silence_opencv()  # FFmpeg reads its setting when it is first used, and later tests of this process expect silence
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, (64, 48))
    assert writer.isOpened()
    for number in range(count):
        writer.write(np.ascontiguousarray(picture(number)[..., ::-1]))
    writer.release()
    return path


def change_box(content: bytes, names: Sequence[bytes], payload: bytes) -> bytes:
    """Return an MP4 file with another payload in the box at a path of names, and the sizes of all boxes around it."""
    start, end, sizes = 0, len(content), []
    for name in names:
        while True:
            size = int.from_bytes(content[start : start + 4], "big")
            assert 8 <= size <= end - start, name
            if content[start + 4 : start + 8] == name:
                break
            start += size
        sizes.append((start, size))
        end, start = start + size, start + 8
    more = len(payload) - (end - start)
    changed = bytearray(content[:start] + payload + content[end:])
    for place, size in sizes:
        changed[place : place + 4] = (size + more).to_bytes(4, "big")
    return bytes(changed)


def find_payload(content: bytes, name: bytes) -> bytes:
    """Return the payload of the only box of a name."""
    (place,) = [i for i in range(len(content)) if content.startswith(name, i)] if content.count(name) == 1 else []
    return content[place + 4 : place - 4 + int.from_bytes(content[place - 4 : place], "big")]


def write_uneven_video(path: Path, steps: Sequence[int]) -> Path:
    """Write an MP4 file whose frames last so many ticks; how many there are in a second is in its header."""
    content = write_video(path, len(steps), "mp4v", 25.0).read_bytes()
    table = struct.pack(">II", 0, len(steps)) + b"".join(struct.pack(">II", 1, step) for step in steps)
    place = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")
    path.write_bytes(change_box(content, place, table))
    return path


def test_a_lossless_video_and_a_folder_give_the_same_rgb(tmp_path: Path) -> None:
    """Natural order: shot2 before shot10."""
    video = open_frame_source(str(write_video(tmp_path / "walk.avi")))
    folder = open_frame_source(str(write_folder(tmp_path / "walk")))
    assert (video.name, video.kind, video.fps, video.expected_frames) == ("walk", "video", 25.0, COUNT)
    assert (folder.name, folder.kind, folder.fps, folder.expected_frames) == ("walk", "folder", None, COUNT)
    for source in (video, folder):
        found = list(source.iter_frames())
        assert [(frame == picture(number)).all() for number, frame in enumerate(found)] == [True] * COUNT


def test_start_and_limit(tmp_path: Path) -> None:
    for place in (write_video(tmp_path / "a.avi"), write_folder(tmp_path / "b", suffix=".TIF")):
        source = open_frame_source(str(place), start_frame=3, max_frames=4)
        assert source.expected_frames == 4
        assert [(frame == picture(3 + i)).all() for i, frame in enumerate(source.iter_frames())] == [True] * 4
        assert open_frame_source(str(place), start_frame=10, max_frames=4).expected_frames == 2
        with pytest.raises(DataError, match="none from --start 12 on"):
            list(open_frame_source(str(place), start_frame=12).iter_frames())


def test_what_is_no_source_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("this is no video" * 40)
    whole = write_video(tmp_path / "whole.mp4", code="mp4v").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite(str(tmp_path / "one.png"), picture(0))
    for name, words in (
        ("missing.mp4", "there is no video file or folder"),
        ("empty", "has no images"),
        ("none.mp4", "is empty"),
        ("text.mp4", "is not a video that OpenCV can read"),
        ("cut.mp4", "cut short, or OpenCV has no decoder"),
        ("one.png", "is one image"),
    ):
        with pytest.raises(DataError, match=words):
            open_frame_source(str(tmp_path / name))
    with pytest.raises(DataError, match="there is no camera 77"):
        open_frame_source("77")
    with pytest.raises(DataError, match="no earlier frames"):
        open_frame_source("0", start_frame=3)


def test_a_bad_image_in_the_middle_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "walk")
    (tmp_path / "walk" / "shot5.png").write_bytes(b"no image")
    found = []
    with pytest.raises(DataError, match=r"shot5\.png cannot be decoded"):
        for frame in open_frame_source(str(tmp_path / "walk")).iter_frames():
            found.append(frame)
    assert len(found) == 4


def test_a_phones_video_stays_upright(tmp_path: Path) -> None:
    """Phones store what the sensor saw and, in the header, that it is to be turned."""
    content = write_video(tmp_path / "flat.mp4", 3, "mp4v").read_bytes()
    flat = list(open_frame_source(str(tmp_path / "flat.mp4")).iter_frames())
    header = find_payload(content, b"tkhd")
    turned = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 48 << 16, 0, 1 << 30)  # by 90 degrees, clockwise
    (tmp_path / "phone.mp4").write_bytes(
        change_box(content, (b"moov", b"trak", b"tkhd"), header[:40] + turned + header[76:])
    )
    frames = list(open_frame_source(str(tmp_path / "phone.mp4")).iter_frames())
    assert [frame.shape for frame in frames] == [(64, 48, 3)] * 3
    assert [(frame == np.rot90(before, -1)).all() for frame, before in zip(frames, flat, strict=True)] == [True] * 3


def test_times_are_those_of_the_container(tmp_path: Path) -> None:
    """Phones film with a frame rate that varies."""
    content = write_video(tmp_path / "even.mp4", 4, "mp4v", 25.0).read_bytes()
    ticks = int.from_bytes(find_payload(content, b"mdhd")[12:16], "big")
    # together as long as before, as the file's edit list ends there
    steps = [ticks // 50, ticks // 50, 2 * ticks // 25, ticks // 25]
    path = write_uneven_video(tmp_path / "phone.mp4", steps)
    for start in (0, 2):
        source = open_frame_source(str(path), start_frame=start)
        times = [frame.seconds for frame in source.iter_timed_frames()]
        assert times == pytest.approx([0.0, 0.02, 0.04, 0.12][start:], abs=1e-4)
    assert [frame.seconds for frame in open_frame_source(str(write_folder(tmp_path / "a"))).iter_timed_frames()] == (
        [None] * COUNT
    )


def test_a_frame_without_a_time_has_none() -> None:
    """OpenCV returns 0 for it: the last frame of an MPEG stream."""
    said = iter([0.0, 40.0, 0.0, float("nan"), 120.0])
    clock = frames_module._ContainerClock(SimpleNamespace(get=lambda _: next(said)))
    assert [clock.read_seconds() for _ in range(5)] == [0.0, 0.04, None, None, 0.12]


def test_names_that_opencv_or_ffmpeg_would_misread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A colon begins a protocol for FFmpeg, and OpenCV ends the process at a name that is not UTF-8."""
    monkeypatch.chdir(tmp_path)
    content = write_video(Path("a.avi"), 2).read_bytes()
    for name in ("12:30.avi", "cafe\u0301.avi", "\u00fcber 1.avi"):
        Path(name).write_bytes(content)
        assert open_frame_source(name).name == Path(name).stem
        assert len(list(open_frame_source(name).iter_frames())) == 2
    latin = os.fsdecode(b"caf\xe9.avi")
    Path(latin).write_bytes(content)
    with pytest.raises(DataError, match="not UTF-8"):
        open_frame_source(latin)
    folder = write_folder(Path("folder"), 2).rename(os.fsdecode(b"caf\xe9"))
    source = open_frame_source(str(folder))
    assert source.name == "caf\ufffd" and len(list(source.iter_frames())) == 2


class Gappy:
    """A reader like OpenCV's whose frame ``bad`` cannot be decoded."""

    def __init__(self, count: int, bad: int | None) -> None:
        self.given, self.count, self.bad = -1, count, bad

    def isOpened(self) -> bool:
        return True

    def get(self, _: int) -> float:
        return float("nan")

    def release(self) -> None:
        pass

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.given += 1
        if self.given >= self.count or self.given == self.bad:
            return False, None
        return True, picture(self.given)


@pytest.mark.parametrize(("count", "bad", "words"), [(9, 5, "frame 5 .from 0. of"), (0, None, "has no frame that can")])
def test_undecodable_frames_of_a_video(
    count: int, bad: int | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"something")
    monkeypatch.setattr(frames_module.cv2, "VideoCapture", lambda *_: Gappy(count, bad))
    source = open_frame_source(str(tmp_path / "a.mp4"))
    assert (source.fps, source.expected_frames) == (None, None), "what is no number is not believed"
    with pytest.raises(DataError, match=words):
        list(source.iter_frames())


def test_a_camera_that_falls_silent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module.cv2, "VideoCapture", lambda *_: Gappy(3, None))
    assert len(list(open_frame_source("0", max_frames=3).iter_frames())) == 3
    with pytest.raises(DataError, match="gives no more frames after 3"):
        list(open_frame_source("0").iter_frames())


def test_frames_are_made_ahead_in_bounds_and_in_order() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    with PrefetchIterator(items(), max_prefetched=3) as ahead:
        deadline = time.monotonic() + HANG_SECONDS
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(made) == 4, "three wait, the fourth is in hand"
        assert list(ahead) == list(range(20))


def test_an_early_end_closes_the_source_and_an_error_keeps_its_place() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with PrefetchIterator(endless(), max_prefetched=2) as ahead:
        assert next(ahead) == 1
    assert closed.is_set()
    assert next(ahead, None) is None

    def failing() -> Iterator[int]:
        yield from (1, 2)
        raise DataError("the third")

    found = []
    with PrefetchIterator(failing()) as ahead, pytest.raises(DataError, match="the third"):
        for number in ahead:
            found.append(number)
    assert found == [1, 2]
