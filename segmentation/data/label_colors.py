"""Read label files in which a color stands for a class: by a table of colors, exactly. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation.errors import DataError
from segmentation.data.labels import LabelSpace, RgbTriple

_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


def read_color_labels(picture: Image.Image, path: Path, label_space: LabelSpace) -> NDArray[np.int64]:
    """Return label values where colors stand for classes; gray and palette images are read by the color of each pixel.

    Args:
        picture: the decoded label file.
        path: the file, for messages.
        label_space: has the colors.

    Returns:
        The number of each pixel's color in the table, (height, width), int64.

    Raises:
        DataError: there are transparent pixels, or colors that the table lacks.
    """
    if picture.mode not in _EIGHT_BIT_MODES:
        raise DataError(
            f"the label file {path} has no colours of 8 bits ({picture.mode}), which {label_space.color_table} lists; "
            "save it as an RGB or palette PNG"
        )
    pixels = np.asarray(picture.convert("RGBA"))
    # some tools write "no label" as transparent, others keep any color below
    if (pixels[..., 3] != 255).any():
        count = int((pixels[..., 3] != 255).sum())
        raise DataError(
            f"the label file {path} has {count:,} transparent pixels, of which it is not clear what class they are; "
            "fill them with the colour of a class and save the file without transparency"
        )
    numbers = number_colors(pixels[..., :3], label_space.colors)
    if (numbers < 0).any():
        raise _make_color_error(pixels[numbers < 0][:, :3], path, picture.mode, label_space)
    return numbers


def number_colors(pixels: NDArray[np.uint8], colors: Sequence[RgbTriple]) -> NDArray[np.int64]:
    """Return the number of each pixel's color in the table, -1 where the table lacks it.

    Args:
        pixels: (height, width, 3), uint8 RGB.
        colors: the table.

    >>> number_colors(np.array([[[9, 9, 9], [1, 2, 3], [1, 2, 4]]], np.uint8), [(1, 2, 3), (9, 9, 9)]).tolist()
    [[1, 0, -1]]
    """
    # a color as one number, so that all pixels are looked up by one binary search
    codes = _pack_colors(pixels.reshape(-1, 3))
    table = _pack_colors(np.array(colors, np.uint8))
    order = np.argsort(table)
    numbers = order[np.minimum(np.searchsorted(table[order], codes), len(table) - 1)]
    return np.where(table[numbers] == codes, numbers, -1).astype(np.int64).reshape(pixels.shape[:2])


def _pack_colors(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return one number for each color (colors, 3)."""
    wide = colors.astype(np.uint32)
    return np.asarray((wide[:, 0] << 16) | (wide[:, 1] << 8) | wide[:, 2], np.uint32)


def _make_color_error(strange: NDArray[np.uint8], path: Path, mode: str, label_space: LabelSpace) -> DataError:
    """Say which color the table lacks, or that the file holds numbers.

    Args:
        strange: colors that the table lacks, (pixels, 3).
        path: the label file.
        mode: Pillow's name of its kind.
        label_space: has the table.
    """
    found, counts = np.unique(strange, axis=0, return_counts=True)
    most = int(counts.argmax())
    red, green, blue = found[most].tolist()
    if mode in ("1", "L", "LA"):
        return DataError(
            f"the label file {path} is gray and holds the number {red}, but {label_space.color_table} says which "
            f"colours stand for classes; if numbers do, list the classes in classes.txt and add --exclude "
            f"{label_space.color_table}"
        )
    # the nearest color is for people: a mask that was smoothed is not repaired by it
    near = find_nearest_color((red, green, blue), label_space.colors)
    index = dict(label_space.list_class_labels()).get(near)
    name = f" ({label_space.class_names[index]})" if index is not None else ""
    others = f" and {len(found) - 1:,} more such colours" if len(found) > 1 else ""
    cure = f"add a line with its class to {label_space.color_table}"
    if len(found) > len(label_space.colors):
        cure = "masks that were scaled or smoothed have such colours along their edges, so export them again"
    return DataError(
        f"the label file {path} has the colour ({red}, {green}, {blue}) in {int(counts[most]):,} pixels{others}, which "
        f"{label_space.color_table} lacks (the nearest is {label_space.colors[near]}{name}); {cure}"
    )


def find_nearest_color(color: RgbTriple, colors: Sequence[RgbTriple]) -> int:
    """Return the number of the color with the smallest sum of squared differences.

    >>> find_nearest_color((250, 3, 0), [(0, 0, 0), (255, 0, 0)])
    1
    """
    return min(range(len(colors)), key=lambda k: sum((a - b) ** 2 for a, b in zip(color, colors[k], strict=True)))
