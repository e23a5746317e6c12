"""A contact sheet shows every sample whole, in its colors, with a caption in letters that the font has."""

from __future__ import annotations

import numpy as np
from PIL import Image

from engine.pictures.contact_sheet import GAP, SHEET_WIDTH, draw_contact_sheet
from engine.pictures.layout import draw_text_lines, make_drawable
from engine.summary.data_summary import SamplePicture, SampleSheet


def test_tall_wide_and_tiny_pictures_are_whole() -> None:
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    sizes = [(40, 400), (400, 40), (1, 1)]
    pictures = [
        SamplePicture(Image.new("RGB", size, color), ("a", "b")) for size, color in zip(sizes, colors, strict=True)
    ]
    sheet = draw_contact_sheet(SampleSheet(pictures, num_columns=3), "three")
    assert sheet.width == SHEET_WIDTH
    pixels, width = np.asarray(sheet), (SHEET_WIDTH - 2 * GAP) // 3
    # as high or as wide as the tile, in the proportions of the picture
    for color, (expected_width, expected_height) in zip(
        colors, [(width / 10, width), (width, width / 10), (width, width)], strict=True
    ):
        rows, columns = np.where((pixels == color).all(2))
        assert abs(np.ptp(columns) + 1 - expected_width) <= 2
        assert abs(np.ptp(rows) + 1 - expected_height) <= 2


def test_a_sheet_of_one_sample_and_a_long_caption_is_as_wide_as_any() -> None:
    sheet = draw_contact_sheet(SampleSheet([SamplePicture(Image.new("L", (8, 8)), ("x" * 500,))]), "y" * 500)
    assert sheet.width == SHEET_WIDTH


def test_two_long_names_that_differ_at_their_end_have_two_captions() -> None:
    first, second = (
        draw_contact_sheet(SampleSheet([SamplePicture(Image.new("L", (8, 8)), ("name" * 50 + end,))]), "")
        for end in ("1", "2")
    )
    assert (np.asarray(first) != np.asarray(second)).any()


def test_letters_without_a_glyph_are_written_as_their_code() -> None:
    assert make_drawable("cafe\u0301 \u043a\u043e\u0442 \u732b") == "caf\u00e9 \u043a\u043e\u0442 \\u732b"
    # an accent is drawn, and not as the box that stands for every missing letter
    accent, other = (np.asarray(draw_text_lines([text], 40)) for text in ("\u00e9", "\u00f1"))
    assert (accent != other).any()
