"""Order the frames of a sequence by the numbers in their names, and notice what makes that order doubtful."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from foundation.errors import DataError
from foundation.plural import format_count

MIN_COMMON_STEPS = 0.5
"""A counter has one step between most frames. Where fewer steps are equal, the numbers are times, and have no gaps."""


class FrameOrder(NamedTuple):
    """The frames of a sequence in order.

    Attributes:
        paths: the paths.
        numbers: the number of each frame; empty if the names have several numbers that differ, as a date and a time.
    """

    paths: tuple[str, ...]
    numbers: tuple[int, ...]


def order_frames(paths: Sequence[str], way_out: str = "leave the others out with --exclude") -> FrameOrder:
    """Order frames by the numbers in their names, so that ``frame_10`` comes after ``frame_9``.

    Args:
        paths: the frames of one folder.
        way_out: how the user keeps files out, for messages.

    Raises:
        DataError: names do not say the order: they differ in more than their numbers, two have the same number, or
            decimals have different lengths.

    >>> order_frames(["a/f10.jpg", "a/f9.jpg"]).paths
    ('a/f9.jpg', 'a/f10.jpg')
    """
    # texts and digits alternate in each name, text first
    pieces = {path: re.split(r"([0-9]+)", PurePosixPath(path).stem) for path in paths}
    keys = {path: tuple(int(piece) for piece in parts[1::2]) for path, parts in pieces.items()}
    _require_one_pattern({path: tuple(parts[::2]) for path, parts in pieces.items()}, way_out)
    _require_equal_decimals(pieces)
    ordered = tuple(sorted(paths, key=keys.__getitem__))
    for first, second in pairwise(ordered):
        if keys[first] == keys[second]:
            raise DataError(f"{first} and {second} have the same frame number; keep one of them, or {way_out}")
    # the number that differs is the frame's; others, as in cam2_0001, are the same in all names
    columns = list(zip(*(keys[path] for path in ordered), strict=True))
    counters = [column for column in columns if len(set(column)) > 1] or columns[-1:]
    return FrameOrder(ordered, tuple(counters[0]) if len(counters) == 1 else ())


def _require_one_pattern(texts: dict[str, tuple[str, ...]], way_out: str) -> None:
    """Require that all names are the same apart from their numbers.

    Raises:
        DataError: they are not; names one frame of each of two patterns.
    """
    examples: dict[tuple[str, ...], str] = {}
    for path, text in texts.items():
        examples.setdefault(text, path)
    if len(examples) > 1:
        first, second = list(examples.values())[:2]
        raise DataError(
            f"{first} and {second} are named in different ways, so their numbers do not say the order of the frames; "
            f"name all frames of a sequence alike, such as 000001.jpg, or {way_out}"
        )


def _require_equal_decimals(pieces: Mapping[str, Sequence[str]]) -> None:
    """Require equally many digits after a point: second 1.5 comes after 1.25, but number 5 before 25.

    Raises:
        DataError: they are not; names one frame of each length.
    """
    lengths: dict[tuple[int, ...], str] = {}
    for path, parts in pieces.items():
        # parts are text, number, text, number ...; a point alone between two numbers makes them a decimal
        decimals = (len(parts[i + 1]) for i in range(2, len(parts) - 1, 2) if parts[i] == ".")
        lengths.setdefault(tuple(decimals), path)
    if len(lengths) > 1:
        first, second = list(lengths.values())[:2]
        raise DataError(
            f"{first} and {second} have different numbers of digits after the point, so their order is not known; "
            "rename the frames to whole numbers, such as 000001.jpg"
        )


def describe_missing_frame(order: FrameOrder) -> str:
    """Return a hint where the numbers of the frames have a gap; empty if there is none.

    Args:
        order: the frames.
    """
    jumps = np.flatnonzero(np.diff(order.numbers) != 1) if len(order.numbers) > 1 else np.zeros(0, np.int64)
    return f" (after {PurePosixPath(order.paths[int(jumps[0])]).name} a frame is missing)" if jumps.size else ""


def require_no_gap(order: FrameOrder, name: str) -> str:
    """Require that no frame is missing between others.

    Args:
        order: the frames.
        name: name of the sequence, for messages.

    Returns:
        A note if the numbers go in larger steps than 1; else an empty text.

    Raises:
        DataError: the numbers count frames, and one is missing.
    """
    steps = np.diff(order.numbers)
    if steps.size < 2:
        return ""
    step = int(steps.min())
    is_counter = bool((steps % step == 0).all()) and float(np.mean(steps == step)) >= MIN_COMMON_STEPS
    wide = np.flatnonzero(steps != step)
    if is_counter and wide.size:
        before, after = (order.paths[int(wide[0]) + shift] for shift in (0, 1))
        gaps = format_count(wide.size, "gap")
        raise DataError(
            f"sequence {name} has no frame between {before} and {PurePosixPath(after).name} ({gaps}); "
            "restore what is missing or, if frames were left out on purpose, give the others consecutive numbers"
        )
    return f"frames are numbered in steps of {step}" if is_counter and step > 1 else ""
