"""The annotated video: boxes in the colour of their confidence, and ``LOST?`` where that stays low."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from foundation.errors import BenchError
from tracking.data.boxes import Floats
from tracking.data.crops import Image

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
RED, YELLOW, GREEN = (40, 40, 255), (0, 220, 255), (60, 200, 0)  # BGR

Colour = tuple[int, int, int]


class Codec(NamedTuple):
    """A codec of OpenCV's writer and the file it goes into."""

    code: str
    suffix: str


CODECS = (Codec("mp4v", ".mp4"), Codec("MJPG", ".avi"))
"""In the order they are tried: MPEG-4 part 2 is in every build of OpenCV with FFmpeg, Motion JPEG in every build."""


class AnnotatedVideo:
    """A video that is written beside its final name and takes it with ``finish``.

    Args:
        folder: where it goes.
        size: width and height of the frames, pixels; an odd one gets one more column or row, as codecs want.
        fps: frames a second.

    Attributes:
        codec: what it is written with.
        path: its final name, ``annotated.mp4`` or ``annotated.avi``.

    Raises:
        BenchError: OpenCV can write none of ``CODECS``.
    """

    def __init__(self, folder: Path, size: tuple[int, int], fps: float) -> None:
        self.size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._written = 0
        for codec in CODECS:
            self.codec = codec
            self.path = folder / f"annotated{codec.suffix}"
            self._partial = folder / f".annotated.part{codec.suffix}"
            self._writer: Any = cv2.VideoWriter(str(self._partial), cv2.VideoWriter.fourcc(*codec.code), fps, self.size)
            if self._writer.isOpened():
                return
            self.discard()
        names = ", ".join(codec.code for codec in CODECS)
        raise BenchError(f"this OpenCV can write no video ({names} were tried); leave it out with --no-video")

    def write(self, frame: Image) -> None:
        """Add a BGR frame."""
        height, width = frame.shape[:2]
        lacks = (self.size[1] - height, self.size[0] - width)
        self._writer.write(cv2.copyMakeBorder(frame, 0, lacks[0], 0, lacks[1], cv2.BORDER_REPLICATE))
        self._written += 1

    def finish(self) -> Path:
        """Close it and give it its name.

        Raises:
            BenchError: the file has not all frames: OpenCV's writer says nothing of a full disk.
        """
        self._writer.release()
        capture = cv2.VideoCapture(str(self._partial))
        there, count = capture.read()[0], int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        if not there or count != self._written:
            self.discard()
            raise BenchError(
                f"{self.path} could not be written whole (is the disk full?); make room, or use --no-video"
            )
        self._partial.replace(self.path)
        return self.path

    def discard(self) -> None:
        """Close it and leave nothing."""
        self._writer.release()
        self._partial.unlink(missing_ok=True)


def draw(frame: Image, number: int, box: Floats, confidence: float, low: float, lost: bool) -> Image:
    """A BGR copy of an RGB frame with what the tracker says of it.

    Args:
        frame: (height, width, 3) RGB.
        number: of the frame, written in the corner.
        box: x, y, w, h, pixels.
        confidence: 0 to 1.
        low: below it the box is red.
        lost: whether to put ``LOST?`` before the confidence.
    """
    picture = np.ascontiguousarray(frame[..., ::-1])
    height, width = picture.shape[:2]
    thick = max(1, round(min(height, width) / 240))
    x, y, w, h = (round(value) for value in box.tolist())
    tint = colour(confidence, low)
    cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), BLACK, thick + 2)
    cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), tint, thick)
    label = f"{'LOST?  ' if lost else ''}{confidence:.2f}"
    tall = _height(picture)
    above = y - tall - thick - 2
    _caption(picture, label, x, above if above >= 0 else min(y + h + thick + 2, height - tall), tint)
    corner = x < width // 4 and y + h + tall > height - tall  # the box or its label is there
    _caption(picture, f"{number}", 2, 2 if corner else height - tall - 2, WHITE)
    return picture


def colour(confidence: float, low: float) -> Colour:
    """Red below ``low``, then from yellow to green, BGR.

    >>> [colour(value, 0.5) for value in (0.49, 0.5, 1.0)]
    [(40, 40, 255), (0, 220, 255), (60, 200, 0)]
    """
    if confidence < low:
        return RED
    share = (confidence - low) / (1 - low) if low < 1 else 1.0
    blue, green, red = (round(a + (b - a) * share) for a, b in zip(YELLOW, GREEN, strict=True))
    return blue, green, red


def _scale(picture: Image) -> float:
    return float(np.clip(min(picture.shape[:2]) / 480, 0.4, 2.0))


def _height(picture: Image) -> int:
    """Of a caption, pixels, its margins included."""
    (_, up), down = cv2.getTextSize("LOST?  0.00", FONT, _scale(picture), 1)
    return int(up + down + 4)


def _caption(picture: Image, text: str, x: int, y: int, tint: Colour) -> None:
    """Text on black with its top-left corner at (x, y), moved and shrunk so that all of it is seen."""
    height, width = picture.shape[:2]
    scale = _scale(picture)
    heavy = max(1, round(scale))
    wide = cv2.getTextSize(text, FONT, scale, heavy)[0][0] + 6
    if wide > width:
        scale *= width / wide
    (wide, up), down = cv2.getTextSize(text, FONT, scale, heavy)
    wide, tall = wide + 6, up + down + 4
    x, y = max(0, min(x, width - wide)), max(0, min(y, height - tall))
    picture[y : y + tall, x : x + wide] //= 3
    cv2.putText(picture, text, (x + 3, y + up + 2), FONT, scale, tint, heavy, cv2.LINE_AA)
