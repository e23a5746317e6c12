"""A folder of images as frames: which files are the frames, and their order by the numbers in their names."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

from engine.data.image_formats import IMAGE_SUFFIXES, UNREAD_IMAGE_SUFFIXES, describe_unopened
from engine.data.tree_files import is_litter
from foundation.errors import DataError
from tracking.data.sequence_folders.frame_order import FrameOrder, order_frames
from tracking.data.sequence_folders.layout_names import IMAGE_FOLDERS

_ALIKE_SUFFIXES = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}


def order_frame_files(folder: Path) -> FrameOrder:
    """Return the frames of a folder, or of its ``img``, ``img1``, ``color`` ..., in the order of their numbers.

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
    return order_frames([file.as_posix() for file in files], "move the others elsewhere")


def describe_number_gap(order: FrameOrder) -> str:
    """Return a note where numbers are left out between frames; empty if none are, or the numbers are no count.

    Args:
        order: the frames.
    """
    steps = Counter(after - before for before, after in pairwise(order.numbers))
    if len(steps) < 2:
        return ""
    # every fifth frame of a video is numbered 0, 5, 10, which is no gap
    usual, times = steps.most_common(1)[0]
    # numbers that are times have as many steps as frames
    if times * 2 < len(order.numbers):
        return ""
    place = next(i for i, (before, after) in enumerate(pairwise(order.numbers), 1) if after - before != usual)
    before, after = (Path(order.paths[i]).name for i in (place - 1, place))
    return f"the frame numbers jump: {after} follows {before}"


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
            # a link to nowhere or a pipe stays: reading it gives the sentence, and without it a frame would be missing
            and not path.is_dir()
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
    return f"{folder} has no images ({known}), nor has a folder img, img1 or color in it; name their folder"


def _list_frame_folders(folder: Path) -> list[Path]:
    """Return the folders of frames in a folder, whatever the case of their names."""
    return sorted(place for place in folder.iterdir() if place.name.lower() in IMAGE_FOLDERS and place.is_dir())
