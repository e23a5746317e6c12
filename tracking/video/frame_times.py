"""The times of a video's frames, in seconds: as the container has them, also where the frame rate varies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TIMES_FILE = "frame_times.txt"
_STEADY_SHARE, _STEADY_SECONDS = 0.25, 0.002
"""Frames count as evenly spaced if their distances differ by less than this share of the median, or by this much:
containers round times, Matroska to milliseconds."""


def fill_missing_times(times: Sequence[float | None], fps: float | None) -> tuple[list[float], int] | None:
    """Return a time for every frame, and how many of them are estimated from the frame rate.

    Args:
        times: time of each frame in seconds; ``None`` where the source has none.
        fps: frames per second according to the source, or ``None``.

    Returns:
        ``None`` if a time is missing and there is no frame rate, or no time at all.

    Example:
        >>> fill_missing_times([0.0, 0.5, None], fps=2.0)
        ([0.0, 0.5, 1.0], 1)
    """
    filled: list[float] = []
    for time in times:
        if time is None:
            # a first frame without a time leaves open when the video starts
            if fps is None or not filled:
                return None
            time = filled[-1] + 1 / fps
        filled.append(time)
    return (filled, sum(time is None for time in times)) if filled else None


def find_uneven_spacing(times: Sequence[float]) -> tuple[float, float] | None:
    """Return the shortest and longest time between two frames in seconds, or ``None`` if they are evenly spaced.

    Args:
        times: time of each frame in seconds.

    Example:
        >>> find_uneven_spacing([0.0, 0.5, 1.0]), find_uneven_spacing([0.0, 0.5, 1.5])
        (None, (0.5, 1.0))
    """
    # two distances at least, as one is always even
    if len(times) < 3:
        return None
    gaps = np.diff(np.asarray(times, np.float64))
    shortest, longest = float(gaps.min()), float(gaps.max())
    spread = longest - shortest
    is_even = spread <= max(_STEADY_SHARE * float(np.median(gaps)), _STEADY_SECONDS)
    return None if is_even else (shortest, longest)
