"""Refuse palettes that contradict each other: the same number would be another class in the next label file.

A program that reduces a colored mask to a palette numbers the colors as they come, anew in each file. The numbers are
then legal labels, and wrong. Within a data set a number has one color, or the color is what counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from foundation.errors import DataError
from segmentation.data.labels import LabelSpace, RgbTriple


def require_same_palettes(paths: Sequence[Path], label_space: LabelSpace) -> None:
    """Require that every class has one color in all label files with a palette, where numbers stand for classes.

    Only the headers are read. Palettes may differ in length, and in the colors of numbers that are no classes.

    Args:
        paths: the label files.
        label_space: the classes; with a table of colors there is nothing to check.

    Raises:
        DataError: two palettes differ; the message names the files and the number.
    """
    if label_space.colors:
        return
    seen: dict[int, tuple[RgbTriple, Path]] = {}
    values = [value for value, _ in label_space.list_class_labels()]
    for path in paths:
        palette = _read_palette(path)
        for value in values:
            # writers cut a palette after its last used color
            if value >= len(palette):
                continue
            color, first = seen.setdefault(value, (palette[value], path))
            if color != palette[value]:
                raise DataError(
                    f"number {value} is the colour {color} in the palette of {first} and {palette[value]} in that of "
                    f"{path}, so it is not one class; name the colours of the classes with --colours FILE (a line "
                    "name,r,g,b for each), or save the label files as gray if the numbers are right"
                )


def _read_palette(path: Path) -> list[RgbTriple]:
    """Return the colors of the palette of an image, empty without one."""
    try:
        with Image.open(path) as picture:
            channels = (picture.getpalette("RGB") or []) if picture.mode == "P" else []
    except (OSError, ValueError, SyntaxError):
        return []  # the file is decoded later, which says what is wrong with it
    return [(channels[at], channels[at + 1], channels[at + 2]) for at in range(0, len(channels) - 2, 3)]
