"""Figures of analyses: no text is cut or lies on another one, and the words are those of a reader."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.output.figures import (
    PlotCurve,
    draw_curves,
    draw_depth_scatter,
    draw_heatmap,
    render_photo_sheet,
    shift_positions,
    wrap_title,
)
from analysis.output.image_figures import IMAGE_BRIGHTNESS, draw_attention_maps, draw_image_rows, overlay_attention
from analysis.request import READ_POINT_WORDS, READ_POINTS
from results.records.picture_manifest import MAX_PICTURE_BYTES

TITLE = "a_backbone_of_a_long_name, checkpoint_of_a_long_name.pth, 1,024 images of imagefolder val\nand a second line"
PHOTO = np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8)
NARROW = PlotCurve([0.1, 1.0], [50.0, 99.0], [10.0, 90.0], [90.0, 120.0])

FIGURES: dict[str, Callable[[], Figure]] = {
    "CKA of few layers": lambda: draw_heatmap(np.eye(4), ["norm1 0"] * 4, ["norm1 1"] * 4, TITLE, (TITLE[:60],) * 2),
    "CKA of many layers": lambda: draw_heatmap(np.eye(25), ["norm1 0"] * 25, ["final norm"] * 25, TITLE, ("a", "b")),
    "attention of one block": lambda: draw_attention_maps(PHOTO, np.ones((1, 1, 4, 4), np.float32), TITLE),
    "attention of 12 blocks": lambda: draw_attention_maps(PHOTO, np.ones((12, 12, 14, 14), np.float32), TITLE),
    "heads over depth": lambda: draw_depth_scatter(
        {"mean attention distance, px": [[1.0, 2.0]] * 12, "entropy of attention, nats": [[1.0]] * 12},
        TITLE,
        {"entropy of attention, nats": (2.0, "uniform attention")},
    ),
    "curves": lambda: draw_curves({"a": NARROW, "b": NARROW}, TITLE, ("fraction, %", "top1, %"), (True, False)),
    "rows of images": lambda: draw_image_rows([[(PHOTO, "query", "")] + [(PHOTO, "-0.123", "#0072b2")] * 7], TITLE),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_or_lies_on_another(name: str) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    ticks = {id(text) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for text in axis.get_ticklabels()}
    # matplotlib holds labels of ticks outside of the limits, which it does not draw
    boxes = {text.get_text(): text.get_window_extent() for text in texts if id(text) not in ticks}
    for text, box in boxes.items():
        assert figure.bbox.x0 - 1 <= box.x0 <= box.x1 <= figure.bbox.x1 + 1, text
        assert figure.bbox.y0 - 1 <= box.y0 <= box.y1 <= figure.bbox.y1 + 1, text
    large = [(text, box) for text, box in boxes.items() if len(text) > 4]  # not the numbers in cells
    for (text, box), (other, place) in combinations(large, 2):
        assert not box.shrunk(0.98, 0.9).overlaps(place.shrunk(0.98, 0.9)), (text, other)


def test_an_overlay_shows_the_image_where_there_is_no_attention() -> None:
    weights = np.zeros((2, 2), np.float32)
    weights[0, 1] = 0.5
    shown = overlay_attention(PHOTO, weights, 224).astype(float)
    gray = np.repeat(PHOTO.mean(2, keepdims=True) * IMAGE_BRIGHTNESS, 3, 2)
    assert np.abs(shown - gray)[112:].max() <= 0.5
    assert np.abs(shown - gray)[:112, 112:].mean() > 50
    # the image stays visible below the largest attention
    assert np.corrcoef(shown[:112, 112:, 0].ravel(), gray[:112, 112:, 0].ravel())[0, 1] > 0.99


def test_attention_maps_of_a_deep_backbone_fit_into_a_page() -> None:
    maps = np.random.default_rng(0).random((12, 12, 14, 14)).astype(np.float32)
    (content,) = render_photo_sheet(draw_attention_maps(PHOTO, maps, TITLE), "map_0").values()
    assert len(content) <= MAX_PICTURE_BYTES


def test_percent_axes_end_where_percents_do() -> None:
    figure = FIGURES["curves"]()
    assert figure.axes[0].get_ylim()[1] <= 101


def test_bars_of_several_curves_do_not_hide_each_other() -> None:
    assert shift_positions([0.1, 1.0], 0, 2, True)[0] < 0.1 < shift_positions([0.1, 1.0], 1, 2, True)[0]
    assert shift_positions([2.0], 0, 2, False) == [2.0], "one position has no width to shift by"


def test_titles_have_no_last_line_of_one_word() -> None:
    lines = wrap_title("trained on train; C of linear chosen on val; bars: 95 %, wilson over images", 5.6).splitlines()
    assert max(map(len, lines)) - min(map(len, lines)) < 12


def test_every_read_point_has_words() -> None:
    assert set(READ_POINT_WORDS) == set(READ_POINTS)
    assert not any("papers" in words for words in READ_POINT_WORDS.values())
