"""Pictures of a run: what is drawn where, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from detection.visualize import (
    MASK_OPACITY,
    MIN_DRAWN,
    DrawnObject,
    draw_objects,
    draw_panels,
    list_detected_objects,
    read_detections,
)
from engine.pictures.palette import make_palette
from foundation.errors import DataError

GRAY = np.full((60, 80, 3), 100, np.uint8)


def make_mask(top: int, left: int, height: int, width: int) -> Any:
    pixels = np.zeros((60, 80), np.uint8)
    pixels[top : top + height, left : left + width] = 1
    return pixels.astype(bool)


def test_a_mask_and_a_frame_have_the_color_of_their_class() -> None:
    found = DrawnObject(2, (20.0, 30.0, 40.0, 20.0), make_mask(30, 20, 20, 40), "cat 0.90")
    panel = np.asarray(draw_objects(GRAY, [found], 160))  # twice as large
    color = make_palette()[2].astype(float)
    inside = (1 - MASK_OPACITY) * 100 + MASK_OPACITY * color
    assert np.abs(panel[80, 80] - inside).max() <= 1, "the middle of the mask"
    assert (panel[60, 100] == make_palette()[2]).all(), "the upper edge of the box"
    assert (panel[110, 10] == 100).all(), "nothing elsewhere"


def test_the_best_detections_are_drawn_and_some_in_any_case() -> None:
    rle = coco_mask.encode(np.asfortranarray(make_mask(0, 0, 5, 5), np.uint8))
    one = {"category_id": 4, "bbox": [1, 2, 3, 4], "segmentation": rle}
    weak = [{**one, "score": 0.01 * place} for place in range(9)]
    drawn = list_detected_objects(weak, {4: 1}, ["dog", "cat"])
    assert [each.caption for each in drawn] == [f"cat {0.01 * place:.2f}" for place in range(4, 9)]
    assert len(drawn) == MIN_DRAWN and drawn[0].mask is not None and drawn[0].mask.sum() == 25
    sure = [{**one, "score": 0.6} for _ in range(7)]
    assert len(list_detected_objects([*weak, *sure], {4: 1}, ["dog", "cat"])) == 7
    with pytest.raises(DataError, match="do not fit the data"):
        list_detected_objects(sure, {3: 1}, ["dog", "cat"])


def test_the_legend_has_the_classes_that_occur_and_boxes_alone_are_drawn() -> None:
    truth = [
        DrawnObject(0, (5.0, 5.0, 20.0, 20.0), None, "dog"),
        DrawnObject(3, (0.0, 0, 9, 9), None, "x (crowd)", True),
    ]
    names = ["dog", "cat", "cow", "hen"]
    sheet = np.asarray(draw_panels(GRAY, truth, [], names, "an image, F1 0.0 %"))
    seen = {tuple(color) for color in np.unique(sheet.reshape(-1, 3), axis=0).tolist()}
    colors = [tuple(color) for color in make_palette()[:4].tolist()]
    assert [color in seen for color in colors] == [True, False, False, True]


@pytest.mark.parametrize("content", ["{", "[1]", '[{"score": 1}]', '{"image_id": 1}'])
def test_a_foreign_file_of_detections_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "detections.json").write_text(content)
    with pytest.raises(DataError, match=r"is not a list of detections .* run again with --fresh"):
        read_detections(tmp_path, {1})


def test_detections_that_are_gone_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no longer there, so nothing can be drawn"):
        read_detections(tmp_path, {1})
