"""The form in which all readers return a sequence, and what several of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import cv2
import numpy as np

from engine.data.decode import decode_bgr
from engine.data.image_formats import MAX_FILE_BYTES
from engine.data.item_limits import read_limit, spread_indices
from foundation.errors import DataError
from foundation.text.user_text import MAX_TEXT_BYTES, decode_user_text
from tracking.data.boxes import BoolArray, FloatArray
from tracking.data.crops import ImageArray
from tracking.data.readers.zips import FileLike, ZipMember, read_file

if TYPE_CHECKING:  # typing has it from Python 3.11 on
    from typing_extensions import Self

FrameFiles = Sequence[Path] | Sequence[ZipMember]


@dataclass(frozen=True)
class Video:
    """One sequence; a still image is a sequence of length 1.

    Attributes:
        name: name in the data set.
        frames: the image files in order; they may be members of a zip.
        boxes: x, y, width, height in pixels, shape (frames, 4); NaN or without area if the target is absent.
        visible: whether the target can be seen, shape (frames,).
    """

    name: str
    frames: FrameFiles
    boxes: FloatArray
    visible: BoolArray

    def read_frame(self, index: int) -> ImageArray:
        """Decode a frame.

        Args:
            index: index of the frame, from 0.

        Returns:
            RGB, shape (height, width, 3).

        Raises:
            DataError: the frame is missing or not an image.
        """
        return read_image(self.frames[index])

    def keep_first(self, count: int) -> Self:
        """Return the sequence with its first frames alone.

        Args:
            count: number of frames to keep.
        """
        return replace(self, frames=self.frames[:count], boxes=self.boxes[:count], visible=self.visible[:count])


def limit_videos(videos: Sequence[Video], recipe: object) -> list[Video]:
    """Return the part of a test set that a recipe's ``max_items`` and ``max_frames`` keep.

    Args:
        videos: the sequences.
        recipe: ``config["recipe"]`` of a plan or of a record, which may be anything.
    """
    kept = [videos[item] for item in spread_indices(len(videos), read_limit(recipe))]
    frames = read_limit(recipe, "max_frames")
    return [each.keep_first(frames) if frames is not None and len(each.frames) > frames else each for each in kept]


class NumberedFiles(Sequence[Path]):
    """The files of a folder with numbered names. Paths are created on access, as a data set has millions of frames.

    Args:
        folder: the folder.
        pattern: format of the names, for example ``{:08d}.jpg``.
        count: number of files.
        first: number of the first file.
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
        # a range resolves negative indices and slices, and raises IndexError where an index is too large
        numbers = range(self.first, self.first + self.length)[index]
        if isinstance(numbers, range):
            return [self.folder / self.pattern.format(number) for number in numbers]
        return self.folder / self.pattern.format(numbers)


def read_image(file: FileLike) -> ImageArray:
    """Decode an image file.

    Args:
        file: the file, or a member of a zip.

    Returns:
        RGB, shape (height, width, 3).

    Raises:
        DataError: the file is missing or not an image.
    """
    try:
        content = read_file(file, MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"the frame {file} is missing; fetch the sequence again") from error
    except OSError as error:
        raise DataError(
            f"the frame {file} cannot be read ({error.strerror or error}); fetch the sequence again"
        ) from error
    # decoded from memory, as members of a zip have no path
    return np.asarray(cv2.cvtColor(decode_bgr(content, file, "the frame"), cv2.COLOR_BGR2RGB), np.uint8)


def require_frame_size(frame: ImageArray, first_shape: tuple[int, ...] | None, frame_name: str) -> None:
    """Check that a frame has the same size as the first frame of its sequence.

    Args:
        frame: shape (height, width, 3).
        first_shape: shape of the first frame; ``None`` if this is the first frame.
        frame_name: name of the frame, for the message.

    Raises:
        DataError: the frame has another size.
    """
    if first_shape is not None and frame.shape != first_shape:
        raise DataError(
            f"{frame_name} is {frame.shape[1]} x {frame.shape[0]} px and the first frame {first_shape[1]} x "
            f"{first_shape[0]}; all frames of a sequence must have the same size, so convert it"
        )


def read_text(file: FileLike) -> str:
    """Read a text file.

    Args:
        file: the file, or a member of a zip.

    Raises:
        DataError: the file is missing or not text in UTF-8.
    """
    try:
        content = read_file(file, MAX_TEXT_BYTES)
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror or error}); fetch the sequence again, or see the layout in docs"
        ) from error
    return decode_user_text(content, file)


def require_equal_counts(name: str, frames: int, boxes: int, missing: str = "") -> None:
    """Check that a sequence has as many boxes as frames.

    Args:
        name: name of the sequence, for the message.
        frames: number of frames.
        boxes: number of boxes.
        missing: a hint where a frame is missing, for the message.

    Raises:
        DataError: there are no frames, or the numbers differ.
    """
    if frames == 0:
        raise DataError(f"sequence {name} has no frames; put its images there, or remove it")
    if frames != boxes:
        raise DataError(
            f"sequence {name} has {frames} frames and {boxes} boxes in its ground truth{missing}; "
            "there must be one box per frame"
        )
