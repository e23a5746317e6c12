"""The numbers of the command line as types for argparse: plain decimal numbers within a range. Imports nothing heavy.

``int`` and ``float`` alone would also read ``1_000``, `` 5 ``, ``inf`` and the digits of other scripts.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

from foundation.display_text import shorten_value
from foundation.values.number_ranges import MAX_BATCH, MAX_COUNT, MAX_PROCESSES, MAX_SEED, MAX_SIDE

_WHOLE = re.compile(r"[0-9]{1,30}|-[0-9]{1,30}")
# at most 40 characters, as of no number that means anything; Python's ``repr`` of a float has up to 24
_NUMBER = re.compile(r"(?=.{1,40}\Z)[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def whole_number(low: int, high: int = MAX_COUNT) -> Callable[[str], int]:
    """Return an argparse type for whole numbers in a range.

    Args:
        low: the smallest.
        high: the largest.
    """
    # the usual limit means "any sensible number", so that a sentence need not name it to someone who wrote -1 or "big"
    usual = {1: " above 0"}.get(low, f", {low} or above")

    def parse_whole_number(text: str) -> int:
        if _WHOLE.fullmatch(text) is None or int(text) < low:
            raise argparse.ArgumentTypeError(f"must be a whole number{usual}, not {shorten_value(text)}")
        if int(text) > high:
            raise argparse.ArgumentTypeError(f"must be at most {high}, not {shorten_value(text)}")
        return int(text)

    return parse_whole_number


def finite_number(low: float = -math.inf, high: float = math.inf, what: str = "a number") -> Callable[[str], float]:
    """Return an argparse type for finite numbers in a range, both ends included.

    Args:
        low: the smallest.
        high: the largest.
        what: what it is, for the sentence.
    """
    limits = (low > -math.inf, high < math.inf)
    usual = {
        (True, True): f", {low:g} to {high:g}",
        (True, False): f", {low:g} or above",
        (False, True): f", at most {high:g}",
        (False, False): "",
    }[limits]

    def parse_finite_number(text: str) -> float:
        # 1e400 is read as infinity; and adding 0 makes 0.0 of -0.0, which would be another id for the same number
        value = float(text) + 0.0 if _NUMBER.fullmatch(text) else math.nan
        if not (math.isfinite(value) and low <= value <= high):
            raise argparse.ArgumentTypeError(f"must be {what}{usual}, not {shorten_value(text)}")
        return value

    return parse_finite_number


parse_positive_int = whole_number(1)
"""A number of things, 1 or above."""

parse_nonnegative_int = whole_number(0)
"""A number of things or a position, 0 or above."""

parse_side = whole_number(1, MAX_SIDE)
"""A side in pixels."""

parse_batch_size = whole_number(1, MAX_BATCH)
"""A number of items of a batch."""

parse_process_count = whole_number(1, MAX_PROCESSES)
"""A number of processes or threads."""

parse_seed = whole_number(0, MAX_SEED)
"""A seed of a run."""

parse_label_value = whole_number(-(2**31), 2**31 - 1)
"""A value of a pixel of a mask."""

parse_finite = finite_number()
"""Any finite number; what reads it knows its range."""
