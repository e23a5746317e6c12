"""Put the parts of a picture together with Pillow: texts, legends, rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from foundation.display_text import format_one_line
from foundation.text.user_names import normalize_name

RgbColor = tuple[int, int, int]

FONT_SIZE = 14
LINE_HEIGHT = 20
"""Pixels of a line of text."""
TEXT_COLOR: RgbColor = (30, 30, 30)
BACKGROUND_COLOR: RgbColor = (255, 255, 255)


def get_font(size: int = FONT_SIZE, text: str = "") -> Any:
    """Return Pillow's own font, which is the same on every machine, or one that has the letters of a text.

    Pillow's has those of English alone; matplotlib's DejaVu Sans has those of all of Europe.

    Args:
        size: size of the font, pixels.
        text: what is drawn with it.
    """
    return ImageFont.load_default(size) if text.isascii() else _load_wide_font(size)


@cache
def _load_wide_font(size: int) -> Any:
    import matplotlib  # only for its font, so only where one is needed

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def make_drawable(text: str) -> str:
    r"""Return a text with the code of each letter that no font here has, as of Chinese: a box says nothing.

    >>> print(make_drawable("caf\u00e9"), make_drawable("\u732b"))
    café \u732b
    """
    text = normalize_name(format_one_line(text))
    if text.isascii():
        return text
    return "".join(letter if _has_glyph(letter) else f"\\u{ord(letter):04x}" for letter in text)


@cache
def _has_glyph(letter: str) -> bool:
    if letter.isascii():
        return True
    font = _load_wide_font(FONT_SIZE)
    # the font draws the same box for everything that it does not have, such as a code that is no character
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def shorten_text(text: str, width: float, size: int = FONT_SIZE) -> str:
    """Cut a text that is wider than ``width`` pixels, and mark the cut with three dots."""
    text = make_drawable(text)
    font = get_font(size, text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def draw_text_lines(lines: Sequence[str], width: int) -> Image.Image:
    """Draw lines of text below each other on a white strip of ``width`` pixels."""
    strip = Image.new("RGB", (width, LINE_HEIGHT * len(lines) + 4), BACKGROUND_COLOR)
    pen = ImageDraw.Draw(strip)
    for row, line in enumerate(lines):
        line = make_drawable(line)
        pen.text((4, 3 + row * LINE_HEIGHT), line, fill=TEXT_COLOR, font=get_font(text=line))
    return strip


def draw_legend(entries: Sequence[tuple[RgbColor, str]], width: int, is_outline: bool = False) -> Image.Image:
    """Draw a legend: a swatch of each color and its name, in as many lines as they need.

    Args:
        entries: colors and their names.
        width: width of the legend, pixels.
        is_outline: draw frames instead of filled swatches, for the colors of boxes.
    """
    places, left, row = [], 4, 0
    for _, name in entries:
        text = shorten_text(name, width - 36)
        needed = 24 + round(get_font(text=text).getlength(text)) + 14
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
        pen.text((left + 24, top - 1), text, fill=TEXT_COLOR, font=get_font(text=text))
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
