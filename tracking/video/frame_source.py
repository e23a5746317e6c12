"""Frames to track in: a video file, a folder of images, or a camera."""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from foundation.errors import DataError
from tracking.data.boxes import Floats
from tracking.data.crops import Image
from tracking.data.readers.folder import GROUND_TRUTH, image_files
from tracking.data.readers.sequence import has_area, read_boxes, read_image

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"})
_CONTAINERS = (
    (4, b"ftyp"),
    (0, b"RIFF"),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"FLV"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"OggS"),
)
"""Where and how video containers begin: MP4 and MOV, AVI, Matroska and WebM, FLV, MPEG, Ogg."""

Kind = Literal["video", "folder", "camera"]


@dataclass(frozen=True)
class Source:
    """Where frames come from.

    Attributes:
        kind: of what it is.
        place: as the user gave it.
        name: for the folder of the results.
        start: number of the first frame, from 0, in the file or folder.
        fps: frames a second that it says itself, if it does.
        count: frames that are expected, for the time that remains; what a video file says of itself may be wrong.
        truth: the first frame's box from a ``groundtruth.txt``, if there is one.
        limit: frames to take at most.
    """

    kind: Kind
    place: str
    name: str
    start: int = 0
    fps: float | None = None
    count: int | None = None
    truth: Floats | None = None
    limit: int | None = None

    def frames(self) -> Generator[Image, None, None]:
        """The frames, (height, width, 3) RGB each.

        Raises:
            DataError: there is none, or one cannot be read; the sentence names it.
        """
        if self.kind == "folder":
            for path in image_files(Path(self.place), IMAGES)[self.start :][: self.limit]:
                yield read_image(path)
            return
        capture = _opened(self)
        try:
            yield from islice(_decode(capture, self), self.limit)
        finally:
            capture.release()


def open_source(place: str, start: int = 0, limit: int | None = None) -> Source:
    """A video file, a folder of images (or with such a folder ``img``), or a camera by its number.

    Raises:
        DataError: none of them, or one without frames; the sentence says which.
    """
    path = Path(place)
    if path.is_dir():
        return _folder(path, start, limit)
    if path.is_file():
        return _video(path, start, limit)
    if place.isascii() and place.isdecimal():
        if start:
            raise DataError("a camera has no earlier frames to pass over; leave --start out")
        source = Source("camera", place, f"camera{place}", limit=limit, count=limit)
        _opened(source).release()
        return source
    raise DataError(f"there is no video file or folder {place}; name one, or a camera by its number (0, 1, ...)")


def _folder(path: Path, start: int, limit: int | None) -> Source:
    files = image_files(path, IMAGES)
    if not files:
        raise DataError(
            f"{path} has no images ({', '.join(sorted(IMAGES))}), nor has its folder img; name their folder"
        )
    if start >= len(files):
        raise DataError(f"{path} has {len(files)} images, none from --start {start} on; start earlier")
    truth = None
    if (path / GROUND_TRUTH).is_file():
        boxes = read_boxes(path / GROUND_TRUTH)
        if len(boxes) > start and has_area(boxes[start : start + 1]).all():
            truth = boxes[start]
    name = path.resolve().name or "folder"
    count = len(files) - start
    return Source("folder", str(path), name, start, None, min(count, limit or count), truth, limit)


def _video(path: Path, start: int, limit: int | None) -> Source:
    if path.suffix.lower() in IMAGES:
        raise DataError(f"{path} is one image; name a video, or the folder of the images")
    source = Source("video", str(path), path.stem, start, limit=limit)
    capture = _opened(source)
    try:
        said, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    left = int(said) - start if math.isfinite(said) and 0 < said - start < 1e9 else None
    count = min(left, limit) if left and limit else left or limit
    believable = math.isfinite(fps) and 1 <= fps <= 240  # some files and streams say 0 or 90,000
    return Source("video", str(path), path.stem, start, fps if believable else None, count, limit=limit)


def _opened(source: Source) -> Any:
    """OpenCV's reader of a file or camera.

    Raises:
        DataError: it cannot be opened.
    """
    with _quiet():
        if source.kind == "camera":
            capture = cv2.VideoCapture(int(source.place))
        else:
            capture = cv2.VideoCapture(source.place, cv2.CAP_FFMPEG)
    if capture.isOpened():
        return capture
    if source.kind == "camera":
        raise DataError(f"there is no camera {source.place}, or another program holds it; name another number")
    raise DataError(_why_not(Path(source.place)))


def _why_not(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}); mend its rights"
    if not head:
        return f"{path} is empty (0 bytes); fetch it again"
    if any(head[at : at + len(mark)] == mark for at, mark in _CONTAINERS):
        return (
            f"{path} is a video file that cannot be opened: it is cut short, or OpenCV has no decoder for its codec; "
            "fetch it again, or convert it (ffmpeg -i IN -c:v libx264 OUT.mp4)"
        )
    return f"{path} is no video that OpenCV can read; name a video, a folder of images, or a camera by its number"


def _decode(capture: Any, source: Source) -> Iterator[Image]:
    """Frames of an opened file or camera.

    Raises:
        DataError: none can be decoded, or one in the middle.
    """
    passed = 0
    while passed < source.start and capture.grab():
        passed += 1
    number = source.start
    while passed == source.start:
        with _quiet():
            there, frame = capture.read()
        if not there:
            break
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        number += 1
    if source.kind == "camera":
        raise DataError(f"camera {source.place} gives no more frames after {number}; is it still connected?")
    if number == source.start > 0:
        raise DataError(f"{source.place} has {passed} frames, none from --start {source.start} on; start earlier")
    if number == source.start:
        raise DataError(f"{source.place} has no frame that can be decoded; fetch it again, or convert it")
    with _quiet():
        goes_on = capture.read()[0]
    if goes_on:
        raise DataError(
            f"frame {number} (from 0) of {source.place} cannot be decoded; convert the video, or cut it there"
        )


class _quiet:  # noqa: N801 - used as a function
    """Keep OpenCV's own words about what it cannot open off the terminal; we say it in a sentence."""

    def __enter__(self) -> None:
        self._level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET

    def __exit__(self, *_: object) -> None:
        cv2.utils.logging.setLogLevel(self._level)
