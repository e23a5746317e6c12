"""A folder of images as frames: which files are the frames, and their order by the numbers in their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from engine.data.image_formats import IMAGE_SUFFIXES, UNREAD_IMAGE_SUFFIXES, describe_unopened
from engine.data.tree_files import is_litter
from foundation.errors import DataError

FRAME_FOLDERS = ("img", "img1", "color", "imgs", "images", "frames", "rgb")
"""Folders of the frames inside a sequence: of LaSOT and OTB, MOT, VOT, and those that people choose."""
_ALIKE_SUFFIXES = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
_NUMBER_PATTERN = re.compile(r"(\d+)")


def list_frame_files(folder: Path) -> list[Path]:
    """Return the frames of a folder, or of its ``img``, ``img1`` or ``color``, in the order of their numbers.

    Annotations and other files that are no images are left alone, hidden files and litter too.

    Args:
        folder: the folder.

    Raises:
        DataError: there are no images, or it is not clear which of them are the frames, or in which order.
    """
    found = {place: files for place in (folder, *_list_frame_folders(folder)) if (files := _list_images(place))}
    if not found:
        raise DataError(_explain_no_frames(folder))
    if len(found) > 1:
        names = " and in ".join(str(place) for place in found)
        raise DataError(f"there are images in {names}; name the folder of the frames itself, without the others")
    # neither is preferred: one may hold thumbnails or masks of the other
    ((place, files),) = found.items()
    _require_one_format(place, files)
    return sort_by_numbers(place, files)


def sort_by_numbers(folder: Path, files: list[Path]) -> list[Path]:
    """Return files in the order of the numbers in their names, so that 2.jpg comes before 10.jpg.

    Args:
        folder: their folder, for messages.
        files: the files.

    Raises:
        DataError: the names differ in more than their numbers, or two have the same number.
    """
    parts = {file: _NUMBER_PATTERN.split(file.stem) for file in files}
    texts = Counter(tuple(words[::2]) for words in parts.values())
    if len(texts) > 1:
        pattern, _ = texts.most_common(1)[0]
        # one of the many and one of the few, so that the message shows what does not belong
        usual = next(file for file in files if tuple(parts[file][::2]) == pattern)
        other = next(file for file in files if tuple(parts[file][::2]) != pattern)
        raise DataError(
            f"{folder} has images whose order is not known: {usual.name} and {other.name} differ in more than their "
            "numbers; keep the frames of one video there, named by their numbers (000001.jpg, 000002.jpg ...)"
        )
    _require_equal_decimals(folder, parts)
    numbers = {file: tuple(int(word) for word in words[1::2]) for file, words in parts.items()}
    ordered = sorted(files, key=numbers.__getitem__)
    for first, second in pairwise(ordered):
        if numbers[first] == numbers[second]:
            raise DataError(
                f"{folder} has two frames with the same number, {first.name} and {second.name}; remove one of them"
            )
    return ordered


def _require_equal_decimals(folder: Path, parts: Mapping[Path, list[str]]) -> None:
    """Check that numbers with a point have equally many digits after it: 1.5 s comes after 1.25 s, but 5 before 25.

    Raises:
        DataError: they have not.
    """
    shapes: dict[tuple[int, ...], Path] = {}
    for file, words in parts.items():
        # words are text, number, text, number ...; a point alone between two numbers is that of a decimal
        shapes.setdefault(tuple(len(words[i + 1]) for i in range(2, len(words) - 1, 2) if words[i] == "."), file)
    if len(shapes) > 1:
        first, second, *_ = shapes.values()
        raise DataError(
            f"{folder} has images whose order is not known: the numbers in {first.name} and {second.name} have "
            "different numbers of digits after the point; rename them to whole numbers (000001.jpg, 000002.jpg ...)"
        )


def describe_number_gap(files: list[Path]) -> str:
    """Return a note where numbers are left out between frames; empty if none are, or the numbers are no count.

    Args:
        files: the frames in their order.
    """
    ends = [re.search(r"(\d+)$", file.stem) for file in files]
    numbers = [int(end.group(1)) for end in ends if end]
    steps = Counter(after - before for before, after in pairwise(numbers))
    if len(numbers) != len(files) or len(steps) < 2:
        return ""
    # every fifth frame of a video is numbered 0, 5, 10, which is no gap
    usual = steps.most_common(1)[0][0]
    place = next(i for i in range(1, len(numbers)) if numbers[i] - numbers[i - 1] != usual)
    return f"the frame numbers jump: {files[place].name} follows {files[place - 1].name}"


def _list_images(folder: Path) -> list[Path]:
    """Return the images directly in a folder, those that cannot be opened here too, sorted by their names.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        # sorted, so that a message names the same files on every machine
        return [
            path
            for path in sorted(folder.iterdir())
            if path.name.lower().endswith(IMAGE_SUFFIXES + UNREAD_IMAGE_SUFFIXES)
            and not path.name.startswith(".")
            and not is_litter(path.name)
            and path.is_file()
        ]
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}); change its permissions") from error


def _require_one_format(folder: Path, files: list[Path]) -> None:
    """Check that all frames have one format that can be opened: a second one is mostly another picture of them.

    Raises:
        DataError: there are several, or one that is not opened here; the message says what opens it.
    """
    unread = [file for file in files if not file.name.lower().endswith(IMAGE_SUFFIXES)]
    suffixes = Counter(_ALIKE_SUFFIXES.get(suffix, suffix) for suffix in (file.suffix.lower() for file in files))
    if len(suffixes) > 1:
        counts = " and ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common())
        unopened = f" ({describe_unopened(unread[0])})" if unread else ""
        raise DataError(
            f"{folder} has {counts} files, and the frames of a video have one format; move the others elsewhere"
            f"{unopened}"
        )
    if unread:
        raise DataError(describe_unopened(unread[0]))


def _explain_no_frames(folder: Path) -> str:
    """Return the most helpful message for a folder without images."""
    below = sorted(
        place
        for place in folder.iterdir()
        if place.is_dir() and not place.name.startswith(".") and not is_litter(f"{place.name}/any")
    )
    # the first one only, as a data set has many
    holder = next(
        (place for place in below if any(_list_images(each) for each in (place, *_list_frame_folders(place)))), None
    )
    if holder is not None:
        return f"{folder} has no images itself, but its folder {holder.name} has; name {holder}"
    known = ", ".join(sorted(IMAGE_SUFFIXES))
    return f"{folder} has no images ({known}), nor has a folder {', '.join(FRAME_FOLDERS)} in it; name their folder"


def _list_frame_folders(folder: Path) -> list[Path]:
    """Return the folders of frames in a folder, whatever the case of their names."""
    return sorted(place for place in folder.iterdir() if place.name.lower() in FRAME_FOLDERS and place.is_dir())
