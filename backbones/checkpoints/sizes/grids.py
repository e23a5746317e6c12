"""Find the grid that the rows of a position table form: a weight file stores their number, not their arrangement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import log, prod, sqrt
from typing import Any, NamedTuple

from torch import Tensor

MIN_CHANNELS = 32
"""Tables with fewer channels are not tested for their structure: the spread over the channels is then unknown."""
MIN_Z = 6.0
"""From this z-score on, one grid counts as smoother than another; untrained tables stay far below it."""
MAX_RATIO = 0.9
"""The roughness of the smoother grid is at most this fraction of the other's."""
_ASPECT_TOLERANCE = 0.25
"""Largest difference of the logarithms of two aspect ratios that still agree: a size need not be a multiple of 16."""


class GridChoice(NamedTuple):
    """The grid of a table, and how it was found.

    Attributes:
        size: rows and columns.
        reason: a sentence for the load report; empty if no other grid was in question.
    """

    size: tuple[int, int]
    reason: str = ""


def choose_grid(
    table: Tensor,
    target: tuple[int, int],
    image_size: tuple[int, int] | None = None,
    *,
    patch_size: tuple[int, int] | None = None,
    odd_sides: bool = False,
) -> GridChoice | None:
    """Choose the grid that the rows of a table form.

    It is decided, in this order, by the image size that the file or the card states; by the structure of the table,
    where that is clear; by the grid of the model, if it has as many entries; and last, a square number of rows is taken
    for a square grid. A stated size whose patches are not as many as the rows, since the table was made at another
    size, counts less than a clear structure.

    Args:
        table: shape (rows, channels), without class-token rows.
        target: rows and columns of the model's grid.
        image_size: height and width of the images that the weights were made for, if known.
        patch_size: height and width of a patch of the file in pixels, if known; else patches are taken for square.
        odd_sides: only grids with odd sides are possible, as for tables of offsets.

    Returns:
        The grid; ``None`` if the number of rows is not square, is not the model's, and nothing else tells the grid.
    """
    count = len(table)
    options = [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
    if odd_sides:
        options = [size for size in options if size[0] % 2 == size[1] % 2 == 1]
    square = next((size for size in options if size[0] == size[1]), None)
    as_model = target if prod(target) == count else None
    is_open = square is not None and as_model not in (None, square)
    if image_size is not None and (stated := _match_aspect(options, image_size, patch_size or (1, 1))):
        # a table of a model that takes any size at run time may have been made at another size than the stated one
        is_other = patch_size is not None and _count_patches(image_size, patch_size) != count
        if is_other and square is not None and square != stated and find_smoother_grid(table, square, stated) == square:
            return _choose_smoother(square, stated)
        is_usual = stated in (square, as_model) and not is_open
        why = f"its weights were made for {image_size[0]} x {image_size[1]} px"
        return GridChoice(stated, "" if is_usual else f"{_format(stated)}: {why}")
    if square is None or as_model == square:
        return None if as_model is None else GridChoice(as_model)
    if as_model is None:
        return GridChoice(square, f"{_format(square)}: assumed square, since the file does not say")
    if found := find_smoother_grid(table, square, as_model):
        return _choose_smoother(found, as_model if found == square else square)
    return GridChoice(as_model, f"{_format(as_model)} like the model's: the file does not say whether it is square")


def find_smoother_grid(table: Tensor, one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int] | None:
    """Find in which of two grids neighbours are more alike, if that is clear.

    Position embeddings that were learned, or computed from sines, change little from a patch to the next. The
    roughness of a channel in a grid is the mean squared difference of horizontal neighbours plus that of vertical ones.
    The grids are compared by the mean of its differences over the channels, in standard errors.

    Args:
        table: shape (rows, channels).
        one: rows and columns of a grid that is possible.
        other: those of another one.

    Returns:
        The smoother grid; ``None`` if the table has few channels, or neither is clearly smoother (an untrained table).
    """
    values = table.detach().double()
    spread = values.std(0)
    values = (values / spread)[:, spread > 1e-9]
    if min(*one, *other) < 2 or values.shape[1] < MIN_CHANNELS:
        return None
    rough_one, rough_other = _measure_roughness(values, one), _measure_roughness(values, other)
    difference = rough_other - rough_one
    z = float(difference.mean() / difference.std()) * sqrt(len(difference))
    ratio = float(rough_one.mean() / rough_other.mean())
    if z > MIN_Z and ratio < MAX_RATIO:
        return one
    return other if z < -MIN_Z and ratio > 1 / MAX_RATIO else None


def find_stated_size(arguments: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return height and width of the training images as a file's arguments or metadata state them.

    Args:
        arguments: the arguments of the training run, as ``WeightFile`` has them: ``img_size`` (timm, bench) or
            ``input_size`` (DeiT, MAE, timm's three numbers), as numbers or as text.
    """
    for key in ("img_size", "image_size", "input_size"):
        value = arguments.get(key)
        if isinstance(value, str):  # the values of safetensors metadata are text
            try:
                value = json.loads(value)
            except ValueError:
                continue
        sizes = [value] * 2 if isinstance(value, int) else value
        if isinstance(sizes, list | tuple) and len(sizes) in (2, 3) and all(type(size) is int for size in sizes):
            height, width = sizes[-2:]  # timm has the channels first
            if height > 0 and width > 0:
                return height, width
    return None


def _match_aspect(
    options: list[tuple[int, int]], image_size: tuple[int, int], patch_size: tuple[int, int]
) -> tuple[int, int] | None:
    """Return the grid whose sides are to each other as the numbers of patches of an image, if there is one."""
    # as many patches fit as if the patch were square and the image stretched
    height, width = image_size[0] * patch_size[1], image_size[1] * patch_size[0]
    if height == width:
        return next((size for size in options if size[0] == size[1]), None)

    def differ(size: tuple[int, int]) -> float:
        return abs(log(size[0] / size[1]) - log(height / width))

    best = min(options, key=differ)
    return best if differ(best) < _ASPECT_TOLERANCE else None


def _count_patches(image_size: tuple[int, int], patch_size: tuple[int, int]) -> int:
    return (image_size[0] // patch_size[0]) * (image_size[1] // patch_size[1])


def _choose_smoother(found: tuple[int, int], other: tuple[int, int]) -> GridChoice:
    return GridChoice(found, f"{_format(found)}: its neighbours are more alike than in {other[0]}x{other[1]}")


def _measure_roughness(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the roughness of each channel, shape (channels,); see ``find_smoother_grid``."""
    grid = values.reshape(*size, -1)
    return (grid[1:] - grid[:-1]).square().mean((0, 1)) + (grid[:, 1:] - grid[:, :-1]).square().mean((0, 1))


def _format(size: tuple[int, int]) -> str:
    return f"read as a grid of {size[0]}x{size[1]}"
