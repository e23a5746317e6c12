"""Overlays and their legend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.pictures.class_bars import MAX_BARS, draw_class_bars
from engine.pictures.palette import make_palette
from foundation.errors import DataError
from segmentation.data.labels import IGNORE_INDEX
from segmentation.visualize import _read_class_iou, draw_panels

NAMES = [f"class {index}" for index in range(150)]


def test_the_legend_has_the_classes_that_occur_and_no_others() -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    truth = np.zeros((64, 64), np.uint8)
    truth[:32], truth[:4] = 7, IGNORE_INDEX
    labels = np.full((64, 64), 120, np.uint8)
    sheet = np.asarray(draw_panels(image, truth, labels, NAMES, "an image, mIoU 0.0 %"))
    # overlays are mixed with the image, so that the pure colors of classes are those of the legend
    seen = {tuple(color) for color in np.unique(sheet.reshape(-1, 3), axis=0).tolist()}
    colors = [tuple(color) for color in make_palette()[:150].tolist()]
    assert {index for index, color in enumerate(colors) if color in seen} == {0, 7, 120}


def test_without_unscored_pixels_the_legend_names_none() -> None:
    image, labels = np.full((64, 64, 3), 100, np.uint8), np.zeros((64, 64), np.uint8)
    with_gray = labels.copy()
    with_gray[0] = IGNORE_INDEX
    sheets = [np.asarray(draw_panels(image, truth, labels, NAMES, "x")) for truth in (labels, with_gray)]
    gray = [(sheet[-24:] == 128).all(2).sum() for sheet in sheets]
    assert gray[0] == 0 < gray[1]


def test_colors_of_classes_differ() -> None:
    colors = make_palette()[:150].astype(int)
    distances = np.abs(colors[:, None] - colors[None]).sum(2)
    assert distances[~np.eye(150, dtype=bool)].min() > 20
    assert distances[:12, :12][~np.eye(12, dtype=bool)].min() > 60


def test_many_classes_are_cut_in_the_middle() -> None:
    few, many = (
        draw_class_bars([(f"c{index}", float(index)) for index in range(count)], 150, "IoU, %", "have none")
        for count in (MAX_BARS, 150)
    )
    assert many.height == few.height, "a line about the classes between, and none about absent ones"


@pytest.mark.parametrize("foreign", [None, 7, [], {"sky": {}}, {"sky": "1"}, {"sky": 1e299}, {"sky": -1}])
def test_what_a_foreign_record_has_in_place_of_the_iou_is_refused(foreign: object) -> None:
    with pytest.raises(DataError, match="no IoU from 0 to 100 % of each class"):
        _read_class_iou(Path("run"), {"iou_by_class": foreign})
