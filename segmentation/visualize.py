"""Draw a finished run: overlays of its worst, median and best image, and a chart of the IoU of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from engine.pictures.encoding import make_picture
from engine.pictures.item_rank import ItemRank, rank_items
from engine.pictures.layout import (
    BACKGROUND_COLOR,
    FONT_SIZE,
    LINE_HEIGHT,
    TEXT_COLOR,
    RgbColor,
    arrange_grid,
    draw_legend,
    draw_text_lines,
    get_font,
    resize_to_width,
    shorten_text,
    stack_images,
)
from foundation.errors import DataError
from results.records.picture_manifest import DrawnPicture
from results.records.record import Record
from results.statistics.item_files import read_item_table
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.files import ImageArray, read_image_pair, read_label_map
from segmentation.data.labels import IGNORE_INDEX

PANEL_WIDTH = 400
"""Width of a panel, pixels; four panels stand in two rows."""
MAX_PANEL_HEIGHT = 400
MAX_BARS = 50
"""Of more classes, only those with the highest and the lowest IoU are drawn."""
_GRAY, _RED, _BLUE, _LIGHT_GRAY = (128, 128, 128), (230, 50, 40), (31, 119, 180), (225, 225, 225)


def draw_segmentation_run(
    folder: Path, record: Record, dataset: SegmentationDataset, class_names: Sequence[str]
) -> list[DrawnPicture]:
    """Draw three overlays and the IoU of each class.

    Args:
        folder: the run's folder; its ``items.csv`` and ``predictions/`` are read.
        record: the run's record.
        dataset: the data that the run was scored on.
        class_names: name of each class, by class index.

    Raises:
        DataError: an image or its prediction is no longer there.
    """
    pairs = {pair.name: pair for pair in dataset.splits["test"]}
    columns = read_item_table(folder, record).columns
    pictures = []
    # an image without any scored pixel has no mIoU
    for rank in rank_items(columns["name"], columns["mIoU"]):
        prediction = folder / "predictions" / f"{rank.name}.png"
        if rank.name not in pairs or not prediction.is_file():
            raise DataError(
                f"the image or the prediction of {rank.name} is no longer there, so it cannot be drawn; "
                "restore the data, or run again with --fresh"
            )
        pictures.append(_draw_overlay(rank, pairs[rank.name], prediction, dataset, class_names))
    assert record.result is not None
    pictures.append(
        make_picture(
            draw_iou_bars(_read_class_iou(folder, record.result.details), len(class_names)),
            "iou_by_class",
            "class_bars",
            f"IoU of each class, mIoU {record.result.metrics['mIoU'].value:.2f} %",
            caption="Over all test images together, not averaged over images.",
        )
    )
    return pictures


def _read_class_iou(folder: Path, details: Mapping[str, Any]) -> Mapping[str, float]:
    class_iou = details.get("iou_by_class")
    is_whole = isinstance(class_iou, dict) and all(
        isinstance(value, int | float) and 0 <= value <= 100 for value in class_iou.values()
    )
    if not is_whole:  # anybody may have written it
        raise DataError(f"the record in {folder} has no IoU from 0 to 100 % of each class; restore the record")
    return cast(Mapping[str, float], class_iou)


def _draw_overlay(
    rank: ItemRank,
    pair: ImageLabelPair,
    prediction: Path,
    dataset: SegmentationDataset,
    class_names: Sequence[str],
) -> DrawnPicture:
    image, truth = read_image_pair(pair, dataset.label_space)
    labels = read_label_map(prediction, dataset.label_space.make_prediction_space())
    # OpenCV reads BGR
    sheet = draw_panels(image[:, :, ::-1], truth, labels, class_names, f"{rank.name}, mIoU {rank.score:.1f} %")
    title = f"{rank.label} image: {rank.name}, mIoU {rank.score:.1f} %"
    caption = "The mIoU of one image is over the classes that occur in it; that of the run is over all test images."
    return make_picture(sheet, f"{rank.label}_image", "overlay", title, caption=caption, item=rank.name)


def draw_panels(
    image: ImageArray, truth: ImageArray, labels: ImageArray, class_names: Sequence[str], heading: str
) -> Image.Image:
    """Draw image, errors, truth and prediction of one image, and the legend of the classes that occur in it.

    Args:
        image: (height, width, 3), uint8 RGB.
        truth: class indices, (height, width).
        labels: predicted class indices, (height, width).
        class_names: name of each class, by class index.
        heading: stands above the image.
    """
    colors = make_palette()
    width = min(PANEL_WIDTH, max(1, round(MAX_PANEL_HEIGHT * image.shape[1] / image.shape[0])))
    width = max(width, 160)  # a very tall image would leave no room for its caption
    panels = {
        shorten_text(heading, width - 8): resize_to_width(image, width),
        "errors": resize_to_width(draw_error_map(image, truth, labels), width, has_labels=True),
        "truth": resize_to_width(overlay_colors(image, colors[truth]), width, has_labels=True),
        "prediction": resize_to_width(overlay_colors(image, colors[labels]), width, has_labels=True),
    }
    named = [stack_images([draw_text_lines([name], width), panel]) for name, panel in panels.items()]
    grid = arrange_grid(named, num_columns=2, gap=6)
    present = [int(index) for index in np.union1d(truth, labels) if index != IGNORE_INDEX]
    entries = [(get_color(colors, index), _get_first_name(class_names[index])) for index in present]
    entries.append((_RED, "wrong pixel"))
    if (truth == IGNORE_INDEX).any():
        entries.append((_GRAY, "not scored"))
    return stack_images([grid, draw_legend(entries, grid.width)], gap=4)


def _get_first_name(name: str) -> str:
    """Return the first of the synonyms that a class list may give ("building, edifice")."""
    return name.split(",")[0]


def get_color(colors: NDArray[np.uint8], index: int) -> RgbColor:
    """Return one of the colors (colors, 3) as whole numbers."""
    red, green, blue = colors[index].tolist()
    return red, green, blue


_FIRST_COLORS = (
    *("3cb44b", "ffe119", "4363d8", "f58231", "911eb4", "42d4f4", "f032e6", "bfef45", "fabed4"),
    *("469990", "dcbeff", "9a6324", "800000", "aaffc3", "808000", "ffd8b1", "000075", "fffac8"),
)
"""Trubetskoy's list of distinct colors (sashat.me/2017/01/11), without the red of errors and the gray of no label."""


@cache
def make_palette() -> NDArray[np.uint8]:
    """Return one RGB color per class index, (256, 3); gray for pixels that are not scored.

    After a list of distinct colors, each is the one that differs most from all before it and from the colors of text
    and errors, measured in CIELAB, where equal distances look equally different (Glasbey et al. 2007, "Colour displays
    for categorical images"). A class has the same color in every picture, so that those of two runs can be compared.
    """
    steps = np.linspace(0, 255, 16).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = _convert_to_lab(candidates)
    # neither too dark nor too light to be recognized over an image
    is_usable = (lab[:, 0] > 30) & (lab[:, 0] < 88)
    candidates, lab = candidates[is_usable], lab[is_usable]
    colors = np.full((256, 3), _GRAY, np.uint8)
    first = len(_FIRST_COLORS)
    colors[:first] = [list(bytes.fromhex(color)) for color in _FIRST_COLORS]
    others = np.array([_GRAY, _RED, (0, 0, 0), (255, 255, 255)], np.uint8)
    taken = _convert_to_lab(np.concatenate([colors[:first], others]))
    nearest = np.min([np.linalg.norm(lab - color, axis=1) for color in taken], axis=0)
    for index in range(first, IGNORE_INDEX):
        chosen = int(nearest.argmax())
        colors[index] = candidates[chosen]
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[chosen], axis=1))
    return colors


def _convert_to_lab(colors: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor((colors / 255).astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0], np.float32)


def draw_error_map(image: ImageArray, truth: ImageArray, predicted: ImageArray) -> ImageArray:
    """Draw wrong pixels red, pixels that are not scored gray, and correct ones as a darkened image without color.

    Args:
        image: (height, width, 3), uint8 RGB.
        truth: class indices, (height, width).
        predicted: class indices, (height, width).
    """
    # without its colors, so that a red object is not taken for an error
    dark = np.repeat((image.mean(2, keepdims=True) * 0.3).astype(np.uint8), 3, 2)
    dark[(truth != predicted) & (truth != IGNORE_INDEX)] = _RED
    dark[truth == IGNORE_INDEX] = _GRAY
    return dark


def overlay_colors(image: ImageArray, colors: ImageArray) -> ImageArray:
    """Lay colors over an image; both (height, width, 3), uint8 RGB."""
    # over the gray image: mixed with its colors, those of the classes would not be those of the legend
    return np.asarray(0.3 * image.mean(2, keepdims=True) + 0.7 * colors, np.uint8)


def draw_iou_bars(class_iou: Mapping[str, float], num_classes: int) -> Image.Image:
    """Draw one horizontal bar per class that is present, best first, and the number of absent classes below.

    Args:
        class_iou: IoU in percent of each class that is present, by class name.
        num_classes: number of classes of the data set.
    """
    present = sorted(((value, _get_first_name(name)) for name, value in class_iou.items()), reverse=True)
    rows: list[tuple[float, str] | None] = [*present]
    if len(present) > MAX_BARS:  # the gap is drawn as a line of text
        rows = [*present[: MAX_BARS // 2], None, *present[-MAX_BARS // 2 :]]
    # 4 px per percentage point: 100 % is 400 px long and leaves room for the number
    left, scale, bottom = 170, 4, LINE_HEIGHT * (len(rows) + 1) + 6
    note = f"{num_classes - len(present)} further classes occur in neither truth nor prediction"
    sheet = Image.new("RGB", (640, bottom + LINE_HEIGHT * (2 if num_classes > len(present) else 1)), BACKGROUND_COLOR)
    pen, font = ImageDraw.Draw(sheet), get_font()
    pen.text((8, 4), "IoU, %", fill=TEXT_COLOR, font=font)
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
