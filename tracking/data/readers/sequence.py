"""A sequence as every reader gives it, and the files that several layouts share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import cv2
import numpy as np

from foundation.errors import DataError
from foundation.files import sha256_chunks
from tracking.data.boxes import BoolArray, FloatArray
from tracking.data.crops import ImageArray
from tracking.data.readers.zips import FileLike, ZipMember

FrameFiles = Sequence[Path] | Sequence[ZipMember]


@dataclass(frozen=True)
class Video:
    """One sequence; a still image is one of length 1.

    Attributes:
        name: as in the data set.
        frames: the image files, in order; some sets' may lie in a zip.
        boxes: (frames, 4) x, y, w, h; NaN or without area where there is none.
        visible: (frames,) whether the target can be seen.
    """

    name: str
    frames: FrameFiles
    boxes: FloatArray
    visible: BoolArray

    def read_frame(self, index: int) -> ImageArray:
        """Frame ``index`` (from 0), (height, width, 3) RGB.

        Raises:
            DataError: it is missing or no image.
        """
        return read_image(self.frames[index])


class NumberedFiles(Sequence[Path]):
    """Files of one folder by number, their paths made when asked for (a data set has millions).

    Args:
        folder: where they are.
        pattern: name by number, for example ``{:08d}.jpg``.
        count: how many.
        first: number of the first.
    """

    def __init__(self, folder: Path, pattern: str, count: int, first: int = 1) -> None:
        self.folder, self.pattern, self.length, self.first = folder, pattern, count, first

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...

    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        numbers = range(self.first, self.first + self.length)[index]
        if isinstance(numbers, range):
            return [self.folder / self.pattern.format(number) for number in numbers]
        return self.folder / self.pattern.format(numbers)


def read_image(file: FileLike) -> ImageArray:
    """An image file as (height, width, 3) RGB.

    Raises:
        DataError: missing, or no image.
    """
    try:
        content = np.frombuffer(file.read_bytes(), np.uint8)
    except FileNotFoundError as error:
        raise DataError(f"the frame {file} is missing; fetch the sequence again") from error
    except OSError as error:
        raise DataError(f"the frame {file} cannot be read ({error.strerror}); fetch the sequence again") from error
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if image is None:
        raise DataError(f"the frame {file} cannot be read as an image; fetch it again")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def require_frame_size(frame: ImageArray, first_shape: tuple[int, ...] | None, frame_name: str) -> None:
    """Pass a frame of the same size as the first one of its sequence.

    Args:
        frame: (height, width, 3).
        first_shape: of the first frame; ``None`` where this is the first.
        frame_name: for the message.

    Raises:
        DataError: it is of another size.
    """
    if first_shape is not None and frame.shape != first_shape:
        raise DataError(
            f"{frame_name} is {frame.shape[1]} x {frame.shape[0]} px and the first frame {first_shape[1]} x "
            f"{first_shape[0]}; all frames of a sequence have one size, so convert it"
        )


def read_text(file: FileLike) -> str:
    """A text file.

    Raises:
        DataError: missing or not text.
    """
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise DataError(
            f"{file} cannot be read ({reason}); fetch the sequence again, or see the layout in docs"
        ) from error


def has_area(boxes: FloatArray) -> BoolArray:
    """Which boxes have a width and a height above 0 (NaN has none)."""
    return np.asarray((boxes[:, 2:] > 0).all(1), np.bool_)


def require_equal_counts(name: str, frames: int, boxes: int, missing: str = "") -> None:
    """Pass only as many boxes as frames.

    Raises:
        DataError: naming both counts.
    """
    if frames == 0:
        raise DataError(f"sequence {name} has no frames")
    if frames != boxes:
        raise DataError(
            f"sequence {name} has {frames} frames and {boxes} boxes in its ground truth{missing}; "
            "there must be one a frame"
        )


def fingerprint_videos(videos: Iterable[Video]) -> str:
    """SHA-256 over names, lengths, boxes and visibility; pixels are not read."""
    return sha256_chunks(
        f"{video.name} {len(video.frames)}\n".encode() + video.boxes.tobytes() + video.visible.tobytes()
        for video in videos
    )
