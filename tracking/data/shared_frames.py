"""Find test sequences whose frames are also in a training sequence: copies, links, or pieces of one video in both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from engine.data.file_hashes import FileHashes
from tracking.data.frame_hashes import SetContent, fingerprint_videos, hash_folder_frames
from tracking.data.readers.folder import TRAIN_FOLDER, find_test_split, has_files, read_folder_videos
from tracking.data.readers.sequence import Video

MAX_NAMED_PAIRS = 3


def describe_folder_content(root: Path) -> SetContent:
    """Return the fingerprint of a user's test sequences, and those that share frames with the ones in ``train``.

    Args:
        root: the folder of the data.

    Raises:
        DataError: a sequence is damaged, or a file belongs to none.
    """
    split = find_test_split(root)
    videos, frames = read_folder_videos(root, split), hash_folder_frames(root, split)
    content = fingerprint_videos(videos, frames)
    if not has_files(root, TRAIN_FOLDER):
        return content
    trains, train_frames = read_folder_videos(root, TRAIN_FOLDER), hash_folder_frames(root, TRAIN_FOLDER)
    shared = find_shared_sequences(videos, frames, trains, train_frames)
    return content._replace(duplicates=shared)


def find_shared_sequences(
    tests: Sequence[Video], test_frames: FileHashes, trains: Sequence[Video], train_frames: FileHashes
) -> tuple[str, ...]:
    """Return one sentence that names the test sequences with frames of training sequences; empty if there are none.

    Sequences are compared only if every byte of both sets was hashed: equal sizes alone say nothing.

    Args:
        tests: the test sequences.
        test_frames: the digests of their frames.
        trains: the training sequences.
        train_frames: the digests of their frames.
    """
    if not (test_frames.is_complete and train_frames.is_complete):
        return ()
    owners: dict[str, str] = {}
    for video, digests in _iter_frame_digests(trains, train_frames):
        for digest in digests:
            owners.setdefault(digest, video.name)
    pairs = []
    for video, digests in _iter_frame_digests(tests, test_frames):
        shared = Counter(owners[digest] for digest in digests if digest in owners)
        if shared:
            # the training sequence that shares the most frames stands for all of them
            (name, _), *_ = shared.most_common(1)
            pairs.append(f"{video.name} ({shared.total():,} of {len(digests):,} frames, as in {name})")
    if not pairs:
        return ()
    more = f" and {len(pairs) - MAX_NAMED_PAIRS:,} more" if len(pairs) > MAX_NAMED_PAIRS else ""
    count = f"{len(pairs):,} test sequences have" if len(pairs) > 1 else "1 test sequence has"
    return (f"{count} frames of training sequences: {', '.join(pairs[:MAX_NAMED_PAIRS])}{more}",)


def _iter_frame_digests(videos: Sequence[Video], frames: FileHashes) -> Iterator[tuple[Video, list[str]]]:
    rest = iter(frames.digests)
    for video in videos:
        yield video, list(islice(rest, len(video.frames)))
