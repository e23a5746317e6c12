"""The content of a tracking set: digests of all frames, and the fingerprint of the sequences. Imports no torch."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, overload

from engine.data.file_hashes import Algorithm, FileHashes, format_crc32, hash_files, sample_digests
from foundation.run_scope import memoize_in_run
from tracking.data.label_digests import encode_boxes
from tracking.data.readers.folder import read_folder_videos
from tracking.data.readers.sequence import NumberedFiles, Video
from tracking.data.readers.zips import ZippedFrames

MISSING_FRAME = "missing"
"""Stands for the digest of a frame that is not there, in a training that skips such frames."""


class SetContent(NamedTuple):
    """What a set of sequences contains.

    Attributes:
        fingerprint: SHA-256 over names, boxes, visibility and frames, 64 hexadecimal digits.
        coverage: which bytes of the frames the fingerprint covers, in words.
        duplicates: test sequences that share frames with training sequences, one sentence each.
    """

    fingerprint: str
    coverage: str
    duplicates: tuple[str, ...] = ()


class FrameNames(Sequence[str]):
    """Paths of all frames of some sequences, relative to the folder of the set; in zips, as if they were unpacked.

    The paths are created on access, as a data set has millions of frames.

    Args:
        videos: the sequences.
        root: the folder of the set.
    """

    def __init__(self, videos: Sequence[Video], root: Path) -> None:
        self.makers = [_make_frame_namer(video, root) for video in videos]
        self.counts = [len(video.frames) for video in videos]
        self.starts = [0]
        for count in self.counts:
            self.starts.append(self.starts[-1] + count)

    def __len__(self) -> int:
        return self.starts[-1]

    def __iter__(self) -> Iterator[str]:
        for name_frame, count in zip(self.makers, self.counts, strict=True):
            yield from map(name_frame, range(count))

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        places = range(len(self))[index]
        if isinstance(places, range):
            return [self[place] for place in places]
        # sequences without frames are refused by the readers, so the starts differ
        video = bisect_right(self.starts, places) - 1
        return self.makers[video](places - self.starts[video])


def _make_frame_namer(video: Video, root: Path) -> Callable[[int], str]:
    """Return a function from the index of a frame to its path below ``root``."""
    frames = video.frames
    if isinstance(frames, NumberedFiles):
        prefix, pattern, first = _get_relative_folder(frames.folder, root), frames.pattern, frames.first
        return lambda index: prefix + pattern.format(first + index)
    if isinstance(frames, ZippedFrames):
        prefix = f"{video.name.rpartition('-')[0]}/{video.name}/img/"
        return lambda index: f"{prefix}{index + 1:08d}.jpg"
    # all frames of a sequence are in one folder
    prefix = _get_relative_folder(Path(str(frames[0])).parent, root)
    return lambda index: prefix + frames[index].name


def _get_relative_folder(folder: Path, root: Path) -> str:
    relative = folder.relative_to(root).as_posix()
    return "" if relative == "." else relative + "/"


def hash_frames(
    videos: Sequence[Video], root: Path, algorithm: Algorithm = "sha256", *, skip_missing: bool = False
) -> FileHashes:
    """Return the digest of every frame of a set, in order; unchanged files are not read again.

    Args:
        videos: all sequences of the set. A large set is hashed in part, which can be decided only for all together.
        root: the folder of the set.
        algorithm: ``crc32`` for LaSOT's layout, whose zips hold the checksums; ``sha256`` otherwise.
        skip_missing: give a missing frame the digest ``missing`` instead of raising.

    Raises:
        DataError: a frame is missing or cannot be read.
    """
    unpacked = [video for video in videos if not isinstance(video.frames, ZippedFrames)]
    read = hash_frame_files(root, FrameNames(unpacked, root), algorithm, skip_missing=skip_missing)
    if len(unpacked) == len(videos):
        return read
    rest = iter(read.digests)
    digests: list[str] = []
    for video in videos:
        if isinstance(video.frames, ZippedFrames):
            # columns of ``ZipEntry``: 2 is the size and 3 the CRC-32
            digests += [format_crc32(crc32, size) for size, crc32 in video.frames.entries[:, 2:4].tolist()]
        else:
            digests += islice(rest, len(video.frames))
    return sample_digests(FrameNames(videos, root), digests)


def hash_frame_files(
    root: Path, names: Sequence[str], algorithm: Algorithm = "sha256", *, skip_missing: bool = False
) -> FileHashes:
    """Return the digests of image files.

    Args:
        root: the folder that ``names`` are relative to.
        names: paths of the files.
        algorithm: see ``hash_files``.
        skip_missing: give a missing file the digest ``missing`` instead of raising.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    if not skip_missing:
        return hash_files(root, names, algorithm)
    present = [index for index, name in enumerate(names) if os.path.exists(os.path.join(root, name))]  # noqa: PTH110, PTH118
    found = hash_files(root, [names[index] for index in present], algorithm)
    digests = [MISSING_FRAME] * len(names)
    for index, digest in zip(present, found.digests, strict=True):
        digests[index] = digest
    return FileHashes(digests, found.coverage)


def fingerprint_videos(videos: Sequence[Video], frames: FileHashes) -> SetContent:
    """Return the SHA-256 over names, lengths, boxes, visibility and the content of the frames.

    Args:
        videos: the sequences; their order counts.
        frames: the digests of their frames, from ``hash_frames``.
    """
    digest = hashlib.sha256()
    rest = iter(frames.digests)
    for video in videos:
        # the length says where the arrays end; surrogateescape, as a file name need not be valid UTF-8
        digest.update(f"{video.name} {len(video.frames)}\n".encode("utf-8", "surrogateescape"))
        digest.update(encode_boxes(video.boxes))
        digest.update(video.visible.tobytes())
        digest.update("\n".join(islice(rest, len(video.frames))).encode())
    return SetContent(digest.hexdigest(), frames.coverage)


@memoize_in_run
def hash_folder_frames(root: Path, split: str = "") -> FileHashes:
    """Return the digest of every frame of a user's own sequences, in the order of ``read_folder_videos``.

    Args:
        root: the folder of the data.
        split: the folder in it that is read; see ``read_folder_videos``.

    Raises:
        DataError: there is no sequence, or one is damaged.
    """
    return hash_frames(read_folder_videos(root, split), root / split)
