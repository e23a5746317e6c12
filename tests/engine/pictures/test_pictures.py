"""What several tasks draw with: the selection of items, legends, grids, and files of a limited size."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from engine.pictures.encoding import encode_jpeg, make_picture
from engine.pictures.item_rank import rank_items
from engine.pictures.layout import arrange_grid, draw_legend, get_font, resize_to_width, shorten_text
from results.records.picture_manifest import MAX_PICTURE_BYTES

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8))


def test_worst_median_and_best_are_selected_once_each() -> None:
    found = rank_items(["a", "b", "c", "d", "e"], ["5", "1", "", "3", "9"])
    assert [(rank.label, rank.name) for rank in found] == [("worst", "b"), ("median", "a"), ("best", "e")]
    assert [rank.label for rank in rank_items(["a", "b"], ["1", "2"])] == ["worst", "best"]
    assert [rank.label for rank in rank_items(["a"], ["1"])] == ["best"]
    assert rank_items(["a"], [""]) == []


def test_even_noise_becomes_a_file_that_readers_accept() -> None:
    assert len(encode_jpeg(NOISE)) <= MAX_PICTURE_BYTES
    picture = make_picture(NOISE, "noise", "overlay", "noise")
    assert picture.entry.file == "noise.jpg"
    assert picture.content == make_picture(NOISE, "noise", "overlay", "noise").content
    assert make_picture(NOISE.crop((0, 0, 9, 9)), "noise", "overlay", "noise").entry.file == "noise.png"


def test_a_legend_breaks_its_lines_and_cuts_no_swatch() -> None:
    entries = [((200, 10 * index, 50), f"class number {index}") for index in range(12)]
    legend = np.asarray(draw_legend(entries, 300))
    assert legend.shape[1] == 300
    for color, _ in entries:
        rows, columns = np.nonzero((legend == color).all(2))
        assert (np.ptp(rows), np.ptp(columns)) == (11, 16), "a whole swatch without its frame"
    assert (legend[:, -2:] == 255).all(), "nothing touches the edge"


def test_a_long_name_is_shortened_to_the_room_there_is() -> None:
    assert shorten_text("short", 100) == "short"
    cut = shorten_text("a very long name " * 9, 120)
    assert cut.endswith("...")
    assert get_font().getlength(cut) <= 120


def test_a_grid_has_its_pictures_row_by_row() -> None:
    tiles = [Image.new("RGB", (3, 2), (40 * index, 0, 0)) for index in range(5)]
    grid = np.asarray(arrange_grid(tiles, num_columns=2, gap=1))
    assert grid.shape == (8, 7, 3)
    assert [grid[3 * (index // 2), 4 * (index % 2), 0] for index in range(5)] == [0, 40, 80, 120, 160]


def test_no_class_colors_are_mixed() -> None:
    colors = np.random.default_rng(1).integers(0, 255, (40, 40, 3), np.uint8)
    known = {tuple(color) for color in colors.reshape(-1, 3).tolist()}
    small = np.asarray(resize_to_width(colors, 13, has_labels=True)).reshape(-1, 3).tolist()
    assert {tuple(color) for color in small} <= known


def test_the_file_is_an_image() -> None:
    photo = NOISE.resize((30, 30)).resize((600, 600))
    picture = make_picture(photo, "photo", "overlay", "a photo")
    assert Image.open(io.BytesIO(picture.content)).size == (600, 600), "not made smaller where it fits"
