"""A bar for each class of a data set: how well it was found."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from engine.pictures.layout import BACKGROUND_COLOR, FONT_SIZE, LINE_HEIGHT, TEXT_COLOR, get_font, shorten_text

MAX_BARS = 50
"""Of more classes, only those with the highest and the lowest score are drawn."""

_BLUE, _LIGHT_GRAY = (31, 119, 180), (225, 225, 225)


def draw_class_bars(scores: Sequence[tuple[str, float]], num_classes: int, heading: str, absence: str) -> Image.Image:
    """Draw one horizontal bar per class that has a score, best first, and the number of other classes below.

    Args:
        scores: name and score in percent of each class that has one.
        num_classes: number of classes of the data set.
        heading: name and unit of the score.
        absence: why a class has none.
    """
    present = sorted(((value, name) for name, value in scores), reverse=True)
    rows: list[tuple[float, str] | None] = [*present]
    if len(present) > MAX_BARS:  # the gap is drawn as a line of text
        rows = [*present[: MAX_BARS // 2], None, *present[-MAX_BARS // 2 :]]
    # 4 px per percentage point: 100 % is 400 px long and leaves room for the number
    left, scale, bottom = 170, 4, LINE_HEIGHT * (len(rows) + 1) + 6
    note = f"not shown: {num_classes - len(present)} of {num_classes} classes, {absence}"
    sheet = Image.new("RGB", (640, bottom + LINE_HEIGHT * (2 if num_classes > len(present) else 1)), BACKGROUND_COLOR)
    pen, font = ImageDraw.Draw(sheet), get_font()
    pen.text((8, 4), heading, fill=TEXT_COLOR, font=font)
    for percent in range(0, 101, 25):
        pen.line((left + scale * percent, LINE_HEIGHT + 4, left + scale * percent, bottom), fill=_LIGHT_GRAY)
        pen.text((left + scale * percent, 4), str(percent), fill=TEXT_COLOR, font=font, anchor="ma")
    for row, entry in enumerate(rows, start=1):
        top = 6 + row * LINE_HEIGHT
        if entry is None:
            pen.text((8, top), f"... {len(present) - len(rows) + 1} classes between ...", fill=TEXT_COLOR, font=font)
            continue
        value, name = entry
        pen.text((8, top - 1), shorten_text(name, left - 16), fill=TEXT_COLOR, font=font)
        pen.rectangle((left, top, left + scale * value, top + FONT_SIZE), fill=_BLUE)
        pen.text((left + 6 + scale * value, top - 1), f"{value:.1f}", fill=TEXT_COLOR, font=font)
    if num_classes > len(present):
        pen.text((8, bottom + 4), note, fill=TEXT_COLOR, font=font)
    return sheet
