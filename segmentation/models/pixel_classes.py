"""Choose the class of every pixel from the logits of windows, without holding all logits of the image at once.

150 logits for each of 4000 x 6000 pixels are 14 GB. What follows from them is one byte per pixel, and two facts allow
to compute it piece by piece, with the same bits as at once:

- Enlarging and averaging treat every class alone. So a few classes are computed at a time, and each pixel keeps its
  highest logit so far and that one's class.
- Windows come row by row. If the prediction has the size of the image, the rows above the newest windows are final and
  can be decided before the next windows are computed.

Only logits with channels last in memory, in pieces of fewer than ``CHANNEL_STEP`` classes (more than a million pixels),
may differ in their last bit: the vector instructions for that layout need as many classes at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from segmentation.models.sliding_window import Size, WindowLogits

MAX_TOGETHER = 1 << 26
"""Up to this number of logits, those of all classes are computed together (256 MiB)."""

MAX_IN_PIECE = 1 << 24
"""Otherwise, the number of logits of a piece (64 MiB)."""

CHANNEL_STEP = 16
"""Classes of a piece are a multiple of this where possible, so that vector instructions see the same groups."""

NEVER_TOGETHER = 3
"""torch enlarges three maps by code of its own (for color images), whose last bits differ from those of any other
number of maps."""


class PixelClasses(NamedTuple):
    """Class index of each pixel, (height, width), uint8, and whether all logits were finite numbers."""

    labels: Tensor
    is_finite: bool


class RowRange(NamedTuple):
    """Rows of the image, from ``first`` up to but not including ``last``, and the width of the image, pixels."""

    first: int
    last: int
    width: int


def classify_pixels(
    windows: Iterable[WindowLogits], image_size: Size, size: Size, align_corners: bool = False
) -> PixelClasses:
    """Choose the class with the highest logit for each pixel, where windows overlap by the mean of their logits.

    Args:
        windows: windows that cover the image, row by row.
        image_size: height and width of the image that was cut into windows, pixels.
        size: height and width of the prediction, pixels. The logits are resized to it, and not the classes: between two
            classes there is no meaningful index to interpolate.
        align_corners: as in ``torch.nn.functional.interpolate``, for both steps of enlarging.
    """
    # rows that are decided, from top to bottom, and the windows that later rows still need
    decided: list[Tensor] = []
    pending: list[WindowLogits] = []
    first_row, is_finite = 0, True
    for window in windows:
        is_finite = is_finite and bool(torch.isfinite(window.cells).all())
        top = window.corner.top
        if size == image_size and top > first_row and len(window.cells) * size[0] * size[1] > MAX_TOGETHER:
            decided.append(_choose_classes(pending, RowRange(first_row, top, size[1]), None, align_corners))
            pending = [each for each in pending if each.corner.top + each.size[0] > top]
            first_row = top
        pending.append(window)
    rows = RowRange(first_row, image_size[0], image_size[1])
    decided.append(_choose_classes(pending, rows, None if size == image_size else size, align_corners))
    return PixelClasses(torch.cat(decided), is_finite)


def _choose_classes(windows: Sequence[WindowLogits], rows: RowRange, size: Size | None, align_corners: bool) -> Tensor:
    """Return the class of each pixel in some rows, or in the complete prediction of ``size``, uint8."""
    num_classes = len(windows[0].cells)
    num_pixels = max((rows.last - rows.first) * rows.width, size[0] * size[1] if size else 0)
    step = num_classes
    if num_classes * num_pixels > MAX_TOGETHER:
        step = max(1, MAX_IN_PIECE // num_pixels)
        step = step // CHANNEL_STEP * CHANNEL_STEP or step
    pieces = list_class_pieces(num_classes, step)
    highest: Tensor | None = None
    chosen: Tensor | None = None
    for piece in pieces:
        logits = average_windows(windows, rows, piece, align_corners)
        # every class alone, so a piece gets the bits that it would get among all
        if size is not None:
            logits = functional.interpolate(logits[None], size, mode="bilinear", align_corners=align_corners)[0]
        values, classes = _find_highest(logits)
        del logits  # before the next piece is computed
        if highest is None or chosen is None:
            highest, chosen = values, classes
            continue
        # a later class replaces an earlier one only if it is higher, as argmax takes the first of equal ones; a class
        # that comes a second time replaces nothing
        is_higher = values > highest
        chosen = torch.where(is_higher, classes.add_(piece.start), chosen)
        torch.maximum(highest, values, out=highest)
    assert chosen is not None
    return chosen


def list_class_pieces(num_classes: int, step: int) -> list[slice]:
    """List the classes that are computed together; each class gets the bits that it would get among all.

    The last piece begins earlier, among classes that were computed already, where it would else be enlarged by other
    code than all classes together.

    Args:
        num_classes: number of classes.
        step: about how many are computed together.

    >>> list_class_pieces(7, 4)
    [slice(0, 4, None), slice(3, 7, None)]
    """
    if num_classes <= NEVER_TOGETHER:
        return [slice(0, num_classes)]
    if step == NEVER_TOGETHER:
        step -= 1
    pieces = [slice(first, min(first + step, num_classes)) for first in range(0, num_classes, step)]
    last = pieces[-1]
    rest = last.stop - last.start
    if len(pieces) > 1 and step >= CHANNEL_STEP and rest < CHANNEL_STEP:
        # one group of vector instructions and the rest, as at the end of all classes
        pieces[-1] = slice(last.start - CHANNEL_STEP, last.stop)
    elif len(pieces) > 1 and rest == NEVER_TOGETHER:
        pieces[-1] = slice(last.start - 1, last.stop)
    return pieces


def _find_highest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the highest of some logits (classes, height, width) at each pixel, and its index, uint8."""
    if len(logits) == 1:  # torch's indices take eight bytes per pixel
        return logits[0], torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    values, indices = logits.max(0)
    return values, indices.to(torch.uint8)


def average_windows(
    windows: Iterable[WindowLogits], rows: RowRange, classes: slice, align_corners: bool = False
) -> Tensor:
    """Average the logits of the windows that cover each pixel.

    Args:
        windows: windows that cover the rows.
        rows: the rows of the image.
        classes: the classes to compute.
        align_corners: as in ``torch.nn.functional.interpolate``.

    Returns:
        Logits, (classes, rows, width).
    """
    first, last, width = rows
    there = [each for each in windows if each.corner.top < last and each.corner.top + each.size[0] > first]
    total: Tensor | None = None
    visits: Tensor | None = None  # how many windows cover each pixel
    for window in there:
        top, left = window.corner
        begin, end = max(top, first), min(top + window.size[0], last)
        part = _enlarge_cells(window, classes, align_corners)[:, begin - top : end - top, : window.size[1]]
        if len(there) == 1:
            return part
        if total is None or visits is None:
            total, visits = part.new_zeros((len(part), last - first, width)), part.new_zeros((last - first, width))
        down, across = slice(begin - first, end - first), slice(left, left + window.size[1])
        total[:, down, across].add_(part)
        visits[down, across].add_(1)
    assert total is not None
    assert visits is not None
    return total.div_(visits)


def _enlarge_cells(window: WindowLogits, classes: slice, align_corners: bool) -> Tensor:
    """Return the logits of some classes at each pixel that the cells of a window cover, (classes, height, width)."""
    cells = window.cells[None]
    if not cells.is_contiguous() and cells.is_contiguous(memory_format=torch.channels_last):
        # torch has a second implementation for this layout; the piece keeps it, so that it gets the same bits
        cells = cells[:, classes].contiguous(memory_format=torch.channels_last)
    else:
        cells = cells[:, classes]
    return functional.interpolate(cells, window.padded_size, mode="bilinear", align_corners=align_corners)[0]
