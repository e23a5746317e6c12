"""Read the sequences of a public test set: the annotation that ``bench score`` reads, and the frames beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foundation.errors import DataError
from foundation.run_scope import memoize_in_run
from tracking.data.box_files import read_box_file
from tracking.data.boxes import BoolArray, has_area
from tracking.data.frame_hashes import SetContent, fingerprint_videos, hash_frames
from tracking.data.readers.sequence import Video, require_equal_counts
from tracking.data.readers.test_frames import FRAME_FINDERS
from tracking.scoring.sets import PUBLIC_TEST_SETS
from tracking.scoring.submission import SERVER_TEST_SETS

if TYPE_CHECKING:  # typing has it from Python 3.11 on
    from typing_extensions import Self


@dataclass(frozen=True)
class AnnotatedVideo(Video):
    """A sequence of a public test set, with what its rules need besides the boxes.

    Attributes:
        absent: whether the target is fully occluded or out of view, shape (frames,).
        image_size: width and height of its images in pixels, for rules that clip to them.
    """

    absent: BoolArray
    image_size: tuple[float, float] | None = None

    def keep_first(self, count: int) -> Self:
        """Return the sequence with its first frames alone."""
        # the base class cuts what it knows
        return replace(super().keep_first(count), absent=self.absent[:count])


class TestSequences(NamedTuple):
    """The sequences of a test set that were found.

    Attributes:
        folder: folder of the set.
        videos: the sequences.
        deviations: how they differ from the official set, one sentence each.
    """

    folder: Path
    videos: list[Video]
    deviations: tuple[str, ...]


@memoize_in_run
def read_public_set(name: str, root: Path) -> TestSequences:
    """Read a set with public ground truth.

    Args:
        name: name of the set, as ``bench score`` takes it.
        root: the data root, or the folder of the set.

    Raises:
        DataError: there is no ground truth, or a file is missing or damaged.
    """
    # everything that is there; what differs from the official set is reported as a deviation
    loaded = PUBLIC_TEST_SETS[name].load_ground_truth(root, partial=True)
    videos: list[Video] = []
    for truth in loaded.ground_truths:
        frames = FRAME_FINDERS[name](loaded.folder, truth.name, loaded.places[truth.name], len(truth.boxes))
        require_equal_counts(truth.name, len(frames), len(truth.boxes))
        # for display and for the fingerprint; the rules of the set decide by ``absent`` alone
        visible = has_area(truth.boxes) & ~truth.absent
        videos.append(AnnotatedVideo(truth.name, frames, truth.boxes, visible, truth.absent, truth.image_size))
    return TestSequences(loaded.folder, videos, loaded.deviations)


@memoize_in_run
def read_server_set(name: str, root: Path) -> TestSequences:
    """Read a set whose ground truth is on a server, of which only the first box of each sequence is known.

    Args:
        name: name of the set, as ``bench score`` takes it.
        root: the data root, or the folder of the set.

    Raises:
        DataError: the set is missing, or a file is missing or damaged.
    """
    test_set = SERVER_TEST_SETS[name]
    folder, names = test_set.find_sequences(root)
    videos: list[Video] = []
    for sequence in names:
        place = test_set.get_first_box_path(folder, sequence)
        frames = FRAME_FINDERS[name](folder, sequence, place, 1)
        if not len(frames):
            raise DataError(f"sequence {sequence} has no frames; put its images there, or fetch it again")
        # nothing is known of the other frames
        boxes = np.full((len(frames), 4), np.nan)
        boxes[0] = read_box_file(place)[0]
        videos.append(Video(sequence, frames, boxes, has_area(boxes)))
    # such a set has no list of names, and a server takes nothing less than all of it
    found = len(videos)
    official = f"{folder} has {found} sequences, {test_set.title} has {test_set.expected_sequences}"
    return TestSequences(folder, videos, () if found == test_set.expected_sequences else (official,))


def fingerprint_test_set(name: str, found: TestSequences) -> SetContent:
    """Return the fingerprint of the sequences of a test set.

    Args:
        name: name of the set.
        found: its sequences.

    Raises:
        DataError: a frame is missing or cannot be read.
    """
    # zips in LaSOT's layout hold the checksums of their files
    algorithm: Any = "crc32" if name == "lasot_ext" else "sha256"
    return fingerprint_videos(found.videos, hash_frames(found.videos, found.folder, algorithm))
