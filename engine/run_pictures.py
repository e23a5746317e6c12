"""Draw with Pillow what the pictures of several tasks need: captions, legends, and the bytes of a file.

The same pixels give the same bytes: no time and no version is written into a file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from results.records.picture_manifest import MAX_PICTURE_BYTES, DrawnPicture, PictureEntry, PictureKind

RgbColor = tuple[int, int, int]

FONT_SIZE = 14
LINE_HEIGHT = 20
"""Pixels of a line of text."""
TEXT_COLOR: RgbColor = (30, 30, 30)
BACKGROUND_COLOR: RgbColor = (255, 255, 255)
MAX_PNG_BYTES = 90_000
"""A larger picture is a photograph and is stored as JPEG, which needs a fraction of the space."""
JPEG_QUALITIES = (85, 75, 60, 40, 20)
"""Tried in this order until the file is small enough."""


class ItemRank(NamedTuple):
    """An item that is drawn because of its score: ``best``, ``median`` or ``worst``, its name, its score in percent."""

    label: str
    name: str
    score: float


def rank_items(names: Sequence[str], scores: Sequence[str]) -> list[ItemRank]:
    """Select the worst, the median and the best item of a run; fewer if it has fewer than three items with a score.

    Args:
        names: name of each item.
        scores: score of each item as text, from the per-item file; an empty one is left out.

    >>> rank_items(["a", "b", "c", "d"], ["1.5", "", "3", "2"])[0]
    ItemRank(label='worst', name='a', score=1.5)
    """
    order = sorted((float(score), name) for name, score in zip(names, scores, strict=True) if score)
    # worst first, because it says most about a model; a dict drops a rank that shows the same item again
    ranks = {0: "worst", len(order) - 1: "best"} | ({len(order) // 2: "median"} if len(order) > 2 else {})
    order_of_display = sorted(ranks.items(), key=lambda rank: ("worst", "median", "best").index(rank[1]))
    return [ItemRank(label, order[at][1], order[at][0]) for at, label in order_of_display] if order else []


def make_picture(image: Image.Image, stem: str, kind: PictureKind, title: str, **fields: Any) -> DrawnPicture:
    """Encode a picture, as PNG if that is small and as JPEG otherwise, and describe it for the manifest.

    Args:
        image: the picture.
        stem: its file name without the suffix.
        kind: what it shows.
        title: its heading.
        fields: further fields of ``PictureEntry``.
    """
    content, suffix = _encode_png(image), "png"
    if len(content) > MAX_PNG_BYTES:
        content, suffix = encode_jpeg(image), "jpg"
    return DrawnPicture(PictureEntry(file=f"{stem}.{suffix}", kind=kind, title=title, **fields), content)


def _encode_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def encode_jpeg(image: Image.Image) -> bytes:
    """Encode a picture as JPEG, with less quality if it would be larger than readers accept."""
    for quality in JPEG_QUALITIES:
        stream = io.BytesIO()
        # without subsampling of the colors, which would blur text and thin lines
        image.convert("RGB").save(stream, "JPEG", quality=quality, subsampling=0, optimize=True)
        if stream.tell() <= MAX_PICTURE_BYTES:
            break
    return stream.getvalue()


def get_font(size: int = FONT_SIZE) -> Any:
    """Return Pillow's own font, which is the same on every machine."""
    return ImageFont.load_default(size)


def shorten_text(text: str, width: float, size: int = FONT_SIZE) -> str:
    """Cut a text that is wider than ``width`` pixels, and mark the cut with three dots."""
    font = get_font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def wrap_text(text: str, width: float, size: int = FONT_SIZE) -> list[str]:
    """Break a text into lines of at most ``width`` pixels; a word that is wider is cut."""
    font, lines = get_font(size), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines = [*(line for line in lines if line), shorten_text(word, width, size)]
    return lines


def draw_text_lines(lines: Sequence[str], width: int) -> Image.Image:
    """Draw lines of text below each other on a white strip of ``width`` pixels."""
    strip = Image.new("RGB", (width, LINE_HEIGHT * len(lines) + 4), BACKGROUND_COLOR)
    pen = ImageDraw.Draw(strip)
    for row, line in enumerate(lines):
        pen.text((4, 3 + row * LINE_HEIGHT), line, fill=TEXT_COLOR, font=get_font())
    return strip


def draw_legend(entries: Sequence[tuple[RgbColor, str]], width: int, is_outline: bool = False) -> Image.Image:
    """Draw a legend: a swatch of each color and its name, in as many lines as they need.

    Args:
        entries: colors and their names.
        width: width of the legend, pixels.
        is_outline: draw frames instead of filled swatches, for the colors of boxes.
    """
    font, places, left, row = get_font(), [], 4, 0
    for _, name in entries:
        text = shorten_text(name, width - 36)
        needed = 24 + round(font.getlength(text)) + 14
        if left + needed > width and left > 4:
            left, row = 4, row + 1
        places.append((left, row, text))
        left += needed
    strip = Image.new("RGB", (width, LINE_HEIGHT * (row + 1) + 4), BACKGROUND_COLOR)
    pen = ImageDraw.Draw(strip)
    for (color, _), (left, row, text) in zip(entries, places, strict=True):
        top = 4 + row * LINE_HEIGHT
        swatch = (left, top, left + 18, top + 13)
        pen.rectangle(
            swatch,
            fill=None if is_outline else color,
            outline=color if is_outline else (90, 90, 90),
            width=3 if is_outline else 1,
        )
        pen.text((left + 24, top - 1), text, fill=TEXT_COLOR, font=font)
    return strip


def stack_images(images: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Paste pictures below each other on white, flush left."""
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    sheet = Image.new("RGB", (max(image.width for image in images), height), BACKGROUND_COLOR)
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height + gap
    return sheet


def arrange_grid(images: Sequence[Image.Image], num_columns: int, gap: int = 0) -> Image.Image:
    """Paste pictures of equal size row by row on white.

    Args:
        images: the pictures.
        num_columns: pictures in a row.
        gap: white pixels between two pictures.
    """
    width, height = images[0].size
    num_rows = -(-len(images) // num_columns)  # rounded up: the last row may be shorter
    columns = min(num_columns, len(images))
    size = (columns * (width + gap) - gap, num_rows * (height + gap) - gap)
    sheet = Image.new(images[0].mode, size, BACKGROUND_COLOR if images[0].mode == "RGB" else 255)
    for place, image in enumerate(images):
        sheet.paste(image, (place % num_columns * (width + gap), place // num_columns * (height + gap)))
    return sheet


def resize_to_width(pixels: np.ndarray[Any, np.dtype[np.uint8]], width: int, has_labels: bool = False) -> Image.Image:
    """Resize a picture to a width; a small one is enlarged by repeating its pixels, so that they stay visible.

    Args:
        pixels: (height, width, 3), uint8 RGB.
        width: the new width, pixels.
        has_labels: the colors mean classes, so that none may be mixed when the picture is made smaller.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    is_sharp = has_labels or image.width < width
    method = Image.Resampling.NEAREST if is_sharp else Image.Resampling.LANCZOS
    return image.resize((width, max(1, round(image.height * width / image.width))), method)
