"""Refuse, before a run, label files that do not fit: by the headers of all files, a second per 10,000 pairs.

Palettes that contradict each other are legal numbers, and wrong: a program that reduces a colored mask to a palette
numbers the colors as they come, anew in each file. A size that differs would end a training at the first such image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.data.decode import HEADER_ERRORS, open_header
from engine.progress_bar import ProgressBar
from foundation.errors import DataError
from foundation.plural import format_count
from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.files import read_bgr_image, read_label_values, require_same_size
from segmentation.data.labels import LabelSpace, RgbTriple

_ORIENTATION_TAG = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that exchange width and height (EXIF 2.3, table 6)


class _ImageHeader(NamedTuple):
    """The header of an image.

    Attributes:
        size: width and height as the image is displayed, pixels.
        orientation: its EXIF orientation; 1 without a tag.
        palette: the colors of its palette, empty without one.
    """

    size: tuple[int, int]
    orientation: int
    palette: list[RgbTriple]


def require_fitting_headers(pairs: Sequence[ImageLabelPair], label_space: LabelSpace) -> list[str]:
    """Require that images and label files have one size, and that every class has one color in all palettes.

    Palettes may differ in length, and in the colors of numbers that are no classes; where a table of colors says what
    colors mean, they are not compared.

    Args:
        pairs: the images and their label files.
        label_space: the classes.

    Returns:
        Notes on what sizes cannot tell.

    Raises:
        DataError: two sizes or palettes differ; the message names the files.
    """
    seen: dict[int, tuple[RgbTriple, Path]] = {}
    turned = []
    values = [] if label_space.colors else [value for value, _ in label_space.list_class_labels()]
    with ProgressBar("sizes of images", "pairs", len(pairs)) as bar:
        for pair in pairs:
            image, label = _read_header(pair.image_path), _read_header(pair.label_path)
            # the pixels decide: formats keep their orientation in different ways
            if image is not None and label is not None and image.size != label.size:
                decoded = read_bgr_image(pair.image_path), read_label_values(pair.label_path, label_space)
                require_same_size(*decoded, pair)
            if image is not None and label is not None and _may_be_turned_alone(image, label):
                turned.append(pair)
            _require_same_palette(label.palette if label else [], pair.label_path, values, seen)
            bar.advance(num_items=1)
    if not turned:
        return []
    return [
        f"{format_count(len(turned), 'image')} turned by the EXIF tag, with label files that are not: look at "
        f"{turned[0].name[:40]}"
    ]


def _may_be_turned_alone(image: _ImageHeader, label: _ImageHeader) -> bool:
    """Return whether labels that were drawn on the image as it is stored would have the size of the turned image."""
    width, height = image.size
    return label.orientation != image.orientation > 1 and (image.orientation not in _TURNED or width == height)


def _require_same_palette(
    palette: list[RgbTriple], path: Path, values: Sequence[int], seen: dict[int, tuple[RgbTriple, Path]]
) -> None:
    """Compare a palette with those of earlier files.

    Args:
        palette: its colors.
        path: the label file.
        values: label values of the classes.
        seen: color of each value so far, and the file that has it; new values are added.
    """
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


def _read_header(path: Path) -> _ImageHeader | None:
    """Read the header of an image; ``None`` if that fails, as decoding it later says better what is wrong with it."""
    try:
        with open_header(path) as picture:
            channels = (picture.getpalette("RGB") or []) if picture.mode == "P" else []
            width, height = picture.size
            orientation = picture.getexif().get(_ORIENTATION_TAG, 1)
    except HEADER_ERRORS:
        return None
    palette = [(channels[at], channels[at + 1], channels[at + 2]) for at in range(0, len(channels) - 2, 3)]
    # a damaged tag may hold anything
    orientation = orientation if orientation in range(1, 9) else 1
    return _ImageHeader((height, width) if orientation in _TURNED else (width, height), orientation, palette)
