"""Draw the contact sheet of a data set: its samples in rows of equal tiles, each with its caption, and a legend."""

from __future__ import annotations

from PIL import Image, ImageDraw

from engine.pictures.layout import (
    LINE_HEIGHT,
    TEXT_COLOR,
    RgbColor,
    arrange_grid,
    draw_legend,
    draw_text_lines,
    get_font,
    make_drawable,
    shorten_text,
    stack_images,
)
from engine.summary.data_summary import SamplePicture, SampleSheet

SHEET_WIDTH = 1200
"""Pixels; about the width of a screen's window."""
GAP = 8
_FRAME_COLOR: RgbColor = (238, 238, 238)
_MAX_ASPECT = 1.0  # a tile is at most as high as it is wide
_HEADING_SIZE = 18


def draw_contact_sheet(sheet: SampleSheet, heading: str) -> Image.Image:
    """Draw samples in rows; small pictures are enlarged with their pixels visible, and nothing is cut off.

    Args:
        sheet: the samples, their legend and the number of columns.
        heading: stands above them.
    """
    width = (SHEET_WIDTH - GAP * (sheet.num_columns - 1)) // sheet.num_columns
    # all tiles are as high as the highest picture needs
    heights = [each.image.height * width / each.image.width for each in sheet.pictures]
    height = round(min(max(heights), _MAX_ASPECT * width))
    # and all captions as long as the longest, so that the rows are even
    num_lines = max(len(each.caption) for each in sheet.pictures)
    tiles = [_draw_tile(each, width, height, num_lines) for each in sheet.pictures]
    parts = [_draw_heading(heading), arrange_grid(tiles, sheet.num_columns, GAP)]
    if sheet.legend:
        parts.insert(1, draw_legend(sheet.legend, SHEET_WIDTH, is_outline=sheet.is_outline))
    return stack_images(parts, gap=GAP)


def _draw_heading(text: str) -> Image.Image:
    text = shorten_text(text, SHEET_WIDTH - 8, _HEADING_SIZE)
    strip = Image.new("RGB", (SHEET_WIDTH, LINE_HEIGHT + 10), (255, 255, 255))
    ImageDraw.Draw(strip).text((4, 5), text, fill=TEXT_COLOR, font=get_font(_HEADING_SIZE, text))
    return strip


def _draw_tile(sample: SamplePicture, width: int, height: int, num_lines: int) -> Image.Image:
    """Put a picture into the middle of a tile, as large as it fits, and its caption below."""
    image = sample.image.convert("RGB")
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    # a small picture is enlarged by repeating its pixels, so that they stay visible
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    tile = Image.new("RGB", (width, height), _FRAME_COLOR)
    tile.paste(image.resize(size, method), ((width - size[0]) // 2, (height - size[1]) // 2))
    lines = [_cut_middle(line, width - 8) for line in sample.caption] + [""] * (num_lines - len(sample.caption))
    return stack_images([tile, draw_text_lines(lines, width)])


def _cut_middle(text: str, width: int) -> str:
    """Cut a text that is wider than ``width`` pixels in its middle: the numbers at its end tell it from others."""
    text = make_drawable(text)
    font = get_font(text=text)
    kept = len(text)
    while kept and font.getlength(shown := f"{text[: kept // 2]}...{text[-(kept - kept // 2) :]}") > width:
        kept -= 1
    return text if font.getlength(text) <= width else shown
