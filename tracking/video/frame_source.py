"""Sources of frames to track in: a video file, a folder of images, or a camera."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from engine.data.image_formats import IMAGE_SUFFIXES, describe_unopened
from engine.data.loading.quiet_decoders import silence_opencv
from foundation.display_text import shorten_value
from foundation.errors import DataError
from tracking.data.crops import ImageArray
from tracking.data.readers.sequence import read_image
from tracking.video.frame_folder import describe_number_gap, order_frame_files

_CONTAINER_SIGNATURES = (
    (4, b"ftyp"),
    (0, b"RIFF"),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"FLV"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"OggS"),
)
"""Offsets and bytes by which video files are recognized: MP4 and MOV, AVI, Matroska and WebM, FLV, MPEG, Ogg."""

ANIMATION_SUFFIXES = (".gif",)
"""Suffixes of images that are videos where a video is asked for."""

MAX_CAMERA_DIGITS = 5
"""Number of digits of a camera's number."""

SourceKind = Literal["video", "folder", "camera"]


class TimedFrame(NamedTuple):
    """A frame and its time.

    Attributes:
        image: RGB, shape (height, width, 3).
        seconds: its time in the video as the container has it; of a camera, the seconds since its first frame; ``None``
            where it is not known.
    """

    image: ImageArray
    seconds: float | None


@dataclass(frozen=True)
class FrameSource:
    """A source of frames.

    Attributes:
        kind: ``video``, ``folder`` or ``camera``.
        location: path or camera number, as the user gave it.
        name: name of the folder for the results.
        start_frame: index of the first frame in the file or folder, from 0.
        fps: frames per second according to the source, if it has that information.
        expected_frames: number of frames, to estimate the remaining time; that of a video file may be wrong.
        max_frames: largest number of frames to take.
        notes: what a reader should know of the source, one sentence each.
    """

    kind: SourceKind
    location: str
    name: str
    start_frame: int = 0
    fps: float | None = None
    expected_frames: int | None = None
    max_frames: int | None = None
    notes: tuple[str, ...] = ()

    def iter_frames(self) -> Generator[ImageArray, None, None]:
        """Decode the frames: RGB, shape (height, width, 3).

        Raises:
            DataError: there is no frame, or one cannot be read; the message names it.
        """
        for frame in self.iter_timed_frames():
            yield frame.image

    def iter_timed_frames(self) -> Generator[TimedFrame, None, None]:
        """Decode the frames, each with its time.

        Raises:
            DataError: there is no frame, or one cannot be read; the message names it.
        """
        if self.kind == "folder":
            # files are listed when tracking starts, and read one by one
            for path in order_frame_files(Path(self.location)).paths[self.start_frame :][: self.max_frames]:
                yield TimedFrame(read_image(Path(path)), None)
            return
        capture = _open_capture(self)
        # a camera has to be released in any case, or no program can open it again
        try:
            yield from islice(_decode_frames(capture, self), self.max_frames)
        finally:
            capture.release()


def open_frame_source(location: str, start_frame: int = 0, max_frames: int | None = None) -> FrameSource:
    """Open a video file, a folder of images (or a folder with ``img``), or a camera by its number.

    Args:
        location: path or camera number.
        start_frame: index of the first frame, from 0.
        max_frames: largest number of frames to take.

    Raises:
        DataError: there is no such source, or it has no frames; the message says which.
    """
    path = Path(location)
    if path.is_dir():
        return _open_folder(path, start_frame, max_frames)
    if path.is_file():
        return _open_video(path, start_frame, max_frames)
    if location.isascii() and location.isdecimal():
        if start_frame:
            raise DataError("a camera has no earlier frames to skip; leave --start out")
        # OpenCV numbers cameras with 32 bits and its backends by hundreds; a longer number would be an error of its own
        if len(location) > MAX_CAMERA_DIGITS:
            raise DataError(f"there is no camera {shorten_value(location)}; cameras are numbered 0, 1, ...")
        # opened and closed once, so that a missing camera is reported at the start
        source = FrameSource("camera", location, f"camera{location}", max_frames=max_frames, expected_frames=max_frames)
        _open_capture(source).release()
        return source
    raise DataError(f"there is no video file or folder {location}; name one, or a camera by its number (0, 1, ...)")


def _open_folder(path: Path, start_frame: int, max_frames: int | None) -> FrameSource:
    """Open a folder of images. An annotation in it is not touched here."""
    order = order_frame_files(path)
    if start_frame >= len(order.paths):
        raise DataError(f"{path} has {len(order.paths)} images, none from --start {start_frame} on; start earlier")
    # a note and no error: it may be meant, and the user sees whether it is
    gap = describe_number_gap(order)
    name = _make_result_name(path.resolve().name) or "folder"
    count = len(order.paths) - start_frame
    return FrameSource(
        "folder",
        str(path),
        name,
        start_frame,
        None,
        min(count, max_frames or count),
        max_frames,
        (gap,) if gap else (),
    )


def _open_video(path: Path, start_frame: int, max_frames: int | None) -> FrameSource:
    """Open a video file and read what its header says."""
    if path.name.lower().endswith(IMAGE_SUFFIXES) and path.suffix.lower() not in ANIMATION_SUFFIXES:
        raise DataError(f"{path} is one image; name a video, or the folder of the images")
    source = FrameSource("video", str(path), _make_result_name(path.stem), start_frame, max_frames=max_frames)
    capture = _open_capture(source)
    try:
        header_frames, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    # some headers have 0, a negative or a huge number of frames, or NaN
    left = (
        int(header_frames) - start_frame
        if math.isfinite(header_frames) and 0 < header_frames - start_frame < 1e9
        else None
    )
    count = min(left, max_frames) if left and max_frames else left or max_frames
    believable = math.isfinite(fps) and 1 <= fps <= 240  # the header of some files says 0 or 90,000
    return replace(source, fps=fps if believable else None, expected_frames=count)


def _make_result_name(name: str) -> str:
    """Return the name of a source as the name of a result folder, in which OpenCV has to write a video."""
    # bytes that are not UTF-8 would end the process there
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _open_capture(source: FrameSource) -> Any:
    """Open OpenCV's reader of a file or camera.

    Raises:
        DataError: it cannot be opened.
    """
    silence_opencv()  # what is wrong with a video is said in one sentence
    if source.kind == "camera":
        capture = cv2.VideoCapture(int(source.location))
    else:
        capture = cv2.VideoCapture(to_opencv_path(Path(source.location)), cv2.CAP_FFMPEG)
    if capture.isOpened():
        return capture
    if source.kind == "camera":
        raise DataError(f"there is no camera {source.location}, or another program holds it; name another number")
    raise DataError(_explain_unreadable(Path(source.location)))


def to_opencv_path(path: Path) -> str:
    """Return a path of a video in the form that OpenCV can open.

    Args:
        path: the path.

    Raises:
        DataError: it is not UTF-8; OpenCV would end the process without a word.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the path {path} has characters that are not UTF-8 (Latin-1?), which OpenCV cannot open; rename it"
        ) from error
    # FFmpeg takes what is before a colon in a name (12:30.mp4) for a protocol, but not in ./12:30.mp4
    return str(path) if path.is_absolute() else f".{os.sep}{path}"


def _explain_unreadable(path: Path) -> str:
    """Return the most helpful message for a file that OpenCV cannot open."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}); fix its permissions"
    if unopened := describe_unopened(path):
        return unopened
    if not head:
        return f"{path} is empty (0 bytes); fetch it again"
    if any(head[at : at + len(mark)] == mark for at, mark in _CONTAINER_SIGNATURES):
        return (
            f"{path} is a video file that cannot be opened: it is cut short, or OpenCV has no decoder for its codec; "
            "fetch it again, or convert it (ffmpeg -i IN -c:v libx264 OUT.mp4)"
        )
    return f"{path} is not a video that OpenCV can read; name a video, a folder of images, or a camera by its number"


def _decode_frames(capture: Any, source: FrameSource) -> Iterator[TimedFrame]:
    """Decode the frames of an opened file or camera, from ``start_frame`` on.

    Raises:
        DataError: no frame can be decoded, or one in the middle cannot.
    """
    passed = 0
    # grab() skips a frame without converting it; seeking to a frame is not exact in many formats
    while passed < source.start_frame and capture.grab():
        passed += 1
    number = source.start_frame
    clock = _CameraClock() if source.kind == "camera" else _ContainerClock(capture)
    while passed == source.start_frame:
        there, frame = capture.read()
        if not there:
            break
        yield TimedFrame(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8), clock.read_seconds())
        number += 1
    # the loop ended: the end of the file, a frame that cannot be decoded, or a camera that was disconnected
    if source.kind == "camera":
        raise DataError(f"camera {source.location} gives no more frames after {number}; connect it again")
    if number == source.start_frame > 0:
        raise DataError(
            f"{source.location} has {passed} frames, none from --start {source.start_frame} on; start earlier"
        )
    if number == source.start_frame:
        raise DataError(f"{source.location} has no frame that can be decoded; fetch it again, or convert it")
    # if another frame follows, this was not the end but a damaged frame
    if capture.read()[0]:
        raise DataError(
            f"frame {number} (from 0) of {source.location} cannot be decoded; convert the video, or cut it there"
        )


class _CameraClock:
    """Counts the seconds since the first frame of a camera."""

    def __init__(self) -> None:
        self._first: float | None = None

    def read_seconds(self) -> float:
        """Return the time of the frame that was just read."""
        now = time.monotonic()
        # the clock's own zero means nothing
        self._first = now if self._first is None else self._first
        return now - self._first


class _ContainerClock:
    """Reads the times that a container has for its frames.

    Args:
        capture: OpenCV's reader.
    """

    def __init__(self, capture: Any) -> None:
        self._capture = capture
        self._newest = -math.inf

    def read_seconds(self) -> float | None:
        """Return the time of the frame that was just read; ``None`` if the container has none for it."""
        seconds = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        # OpenCV returns 0 for a frame without a time, mostly the last one of a raw stream
        if not math.isfinite(seconds) or seconds <= self._newest:
            return None
        self._newest = seconds
        return seconds
