"""Write the annotated video: boxes in the color of their confidence, and ``LOST?`` where it stays low."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from foundation.errors import BenchError
from foundation.files import ensure_writable_dir
from tracking.data.boxes import FloatArray
from tracking.data.crops import ImageArray
from tracking.video.frame_source import to_opencv_path
from tracking.video.target_track import TargetTrack

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
RED, YELLOW, GREEN = (40, 40, 255), (0, 220, 255), (60, 200, 0)  # BGR

BGRColor = tuple[int, int, int]

TARGET_COLORS: tuple[BGRColor, ...] = (
    (0, 159, 230),
    (233, 180, 86),
    (115, 158, 0),
    (66, 228, 240),
    (167, 121, 204),
    (178, 114, 0),
)
"""Colors of several targets (BGR): those of Okabe and Ito's palette, which people with any kind of color blindness tell
apart, without vermilion, which is too close to the red of a low confidence. A seventh target has the first again."""


class Codec(NamedTuple):
    """A codec of OpenCV's writer and the suffix of its files."""

    fourcc: str
    suffix: str


CODECS = (Codec("mp4v", ".mp4"), Codec("MJPG", ".avi"))
"""Codecs in the order in which they are tried.

MPEG-4 part 2 is in every OpenCV with FFmpeg, and Motion JPEG in every OpenCV.
"""


class AnnotatedVideoWriter:
    """Writes a video under a temporary name; ``finalize`` gives it its final name.

    Args:
        folder: folder of the video.
        size: width and height of the frames in pixels. An odd number is raised by one, as codecs require even numbers.
        fps: frames per second.

    Attributes:
        codec: the codec that is used.
        path: the final name, ``annotated.mp4`` or ``annotated.avi``.

    Raises:
        StorageError: the folder cannot be made or written.
        BenchError: OpenCV can write none of ``CODECS``.
    """

    def __init__(self, folder: Path, size: tuple[int, int], fps: float) -> None:
        # rounded up to even numbers; write_frame fills the additional column or row
        self.size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._frames_written = 0
        ensure_writable_dir(folder)  # OpenCV would fail with every codec, as if it had none
        for codec in CODECS:
            self.codec = codec
            self.path = folder / f"annotated{codec.suffix}"
            self._partial_path = folder / f".annotated.part{codec.suffix}"
            self._writer: Any = cv2.VideoWriter(
                to_opencv_path(self._partial_path), cv2.VideoWriter.fourcc(*codec.fourcc), fps, self.size
            )
            if self._writer.isOpened():
                return
            self.discard()
        names = ", ".join(codec.fourcc for codec in CODECS)
        raise BenchError(f"this OpenCV cannot write videos (it has none of {names}); leave it out with --no-video")

    def write_frame(self, frame: ImageArray) -> None:
        """Add a frame.

        Args:
            frame: BGR, shape (height, width, 3).
        """
        height, width = frame.shape[:2]
        padding = (self.size[1] - height, self.size[0] - width)
        self._writer.write(cv2.copyMakeBorder(frame, 0, padding[0], 0, padding[1], cv2.BORDER_REPLICATE))
        self._frames_written += 1

    def finalize(self) -> Path:
        """Close the video and give it its final name.

        Raises:
            BenchError: the file does not have all frames, for example because the disk is full.
        """
        self._writer.release()
        # OpenCV's writer reports no errors, so the file is opened again and its frames are counted
        capture = cv2.VideoCapture(to_opencv_path(self._partial_path))
        there, count = capture.read()[0], int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        if not there or count != self._frames_written:
            self.discard()
            raise BenchError(
                f"{self.path} could not be written completely (is the disk full?); make room, or use --no-video"
            )
        self._partial_path.replace(self.path)
        return self.path

    def discard(self) -> None:
        """Close the video and remove it."""
        self._writer.release()
        self._partial_path.unlink(missing_ok=True)


def draw_targets(frame: ImageArray, frame_number: int, targets: Sequence[TargetTrack]) -> ImageArray:
    """Return a BGR copy of a frame with the newest box of every target and the number of the frame.

    A single box has the color of its confidence. Several have one color each and their number, and the text of a low
    confidence is red.

    Args:
        frame: RGB, shape (height, width, 3).
        frame_number: number of the frame, which is written into the corner.
        targets: the targets.
    """
    if len(targets) == 1:
        (only,) = targets
        lost_threshold = only.start.lost_threshold
        return draw_prediction(
            frame, frame_number, only.boxes[-1], only.confidences[-1], lost_threshold, only.watch.is_lost
        )
    picture = np.ascontiguousarray(frame[..., ::-1])
    colors = [TARGET_COLORS[(each.number - 1) % len(TARGET_COLORS)] for each in targets]
    # the color tells the targets apart, so that the line needs two pixels
    thick = max(2, _line_width(picture))
    for each, color in zip(targets, colors, strict=True):
        _draw_box(picture, each.boxes[-1], color, thick)
    # labels last, so that no box hides them
    for each, color in zip(targets, colors, strict=True):
        confidence = each.confidences[-1]
        label = f"{each.number}: {_format_label(confidence, each.watch.is_lost)}"
        _draw_label(picture, each.boxes[-1], label, color if confidence >= each.start.lost_threshold else RED)
    _draw_frame_number(picture, frame_number, [each.boxes[-1] for each in targets])
    return picture


def draw_prediction(
    frame: ImageArray, frame_number: int, box: FloatArray, confidence: float, lost_threshold: float, is_lost: bool
) -> ImageArray:
    """Return a BGR copy of a frame with the tracker's box, its confidence and the number of the frame.

    Args:
        frame: RGB, shape (height, width, 3).
        frame_number: number of the frame, which is written into the corner.
        box: x, y, width, height in pixels.
        confidence: confidence of the box, from 0 to 1.
        lost_threshold: a box with a confidence below it is red.
        is_lost: whether to write ``LOST?`` before the confidence.
    """
    picture = np.ascontiguousarray(frame[..., ::-1])
    color = confidence_color(confidence, lost_threshold)
    _draw_box(picture, box, color, _line_width(picture))
    _draw_label(picture, box, _format_label(confidence, is_lost), color)
    _draw_frame_number(picture, frame_number, [box])
    return picture


def _format_label(confidence: float, is_lost: bool) -> str:
    return f"{'LOST?  ' if is_lost else ''}{confidence:.2f}"


def _draw_box(picture: ImageArray, box: FloatArray, color: BGRColor, thick: int) -> None:
    """Draw a box with lines of ``thick`` pixels."""
    x, y, w, h = (round(value) for value in box.tolist())
    # a wider black box below the colored one, so that it is visible on any background
    cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), BLACK, thick + 2)
    cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), color, thick)


def _draw_label(picture: ImageArray, box: FloatArray, label: str, color: BGRColor) -> None:
    """Write a label above a box, or below it if there is no room."""
    height, gap = picture.shape[0], _line_width(picture) + 2
    x, y, _, h = (round(value) for value in box.tolist())
    tall = _caption_height(picture)
    above = y - tall - gap
    _draw_caption(picture, label, x, above if above >= 0 else min(y + h + gap, height - tall), color)


def _draw_frame_number(picture: ImageArray, frame_number: int, boxes: Sequence[FloatArray]) -> None:
    """Write the number of the frame into the lower left corner, or the upper one if a box or its label is there."""
    height, width = picture.shape[:2]
    tall = _caption_height(picture)
    is_taken = False
    for box in boxes:
        x, y, _, h = (round(value) for value in box.tolist())
        is_taken |= x < width // 4 and y + h + tall > height - tall
    _draw_caption(picture, f"{frame_number}", 2, 2 if is_taken else height - tall - 2, WHITE)


def _line_width(picture: ImageArray) -> int:
    height, width = picture.shape[:2]
    return max(1, round(int(min(height, width)) / 240))


def confidence_color(confidence: float, lost_threshold: float) -> BGRColor:
    """Return the color of a confidence: red below ``lost_threshold``, else between yellow and green.

    Args:
        confidence: confidence, from 0 to 1.
        lost_threshold: the threshold.

    Returns:
        Blue, green and red, from 0 to 255.

    Example:
        >>> [confidence_color(value, 0.5) for value in (0.49, 0.5, 1.0)]
        [(40, 40, 255), (0, 220, 255), (60, 200, 0)]
    """
    if confidence < lost_threshold:
        return RED
    share = (confidence - lost_threshold) / (1 - lost_threshold) if lost_threshold < 1 else 1.0
    blue, green, red = (round(a + (b - a) * share) for a, b in zip(YELLOW, GREEN, strict=True))
    return blue, green, red


def _font_scale(image: ImageArray) -> float:
    """Return a font size that suits the size of the frame."""
    return float(np.clip(min(image.shape[:2]) / 480, 0.4, 2.0))


def _caption_height(image: ImageArray) -> int:
    """Return the height of a caption in pixels, with its margins."""
    (_, up), down = cv2.getTextSize("LOST?  0.00", FONT, _font_scale(image), 1)
    return int(up + down + 4)


def _draw_caption(image: ImageArray, text: str, x: int, y: int, color: BGRColor) -> None:
    """Write text on a darkened background with its top-left corner at (x, y).

    It is moved and, if necessary, made smaller, so that all of it is within the frame.
    """
    height, width = image.shape[:2]
    scale = _font_scale(image)
    heavy = max(1, round(scale))
    wide = cv2.getTextSize(text, FONT, scale, heavy)[0][0] + 6
    if wide > width:
        scale *= width / wide
    (wide, up), down = cv2.getTextSize(text, FONT, scale, heavy)
    wide, tall = wide + 6, up + down + 4
    x, y = max(0, min(x, width - wide)), max(0, min(y, height - tall))
    # darkened to a third and not black, so that what is behind the text can still be seen
    image[y : y + tall, x : x + wide] //= 3
    cv2.putText(image, text, (x + 3, y + up + 2), FONT, scale, color, heavy, cv2.LINE_AA)
