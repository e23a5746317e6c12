"""Draw a finished run: overlays of its worst, median and best image, and a chart of the IoU of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from engine.pictures.class_bars import draw_class_bars
from engine.pictures.encoding import make_picture
from engine.pictures.item_rank import ItemRank, rank_items
from engine.pictures.layout import (
    arrange_grid,
    draw_legend,
    draw_text_lines,
    resize_to_width,
    shorten_text,
    stack_images,
)
from engine.pictures.palette import GRAY, RED, get_color, make_palette
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
            draw_class_bars(
                [(_get_first_name(n), iou) for n, iou in _read_class_iou(folder, record.result.details).items()],
                len(class_names),
                "IoU, %",
                "in neither truth nor prediction",
            ),
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
    entries.append((RED, "wrong pixel"))
    if (truth == IGNORE_INDEX).any():
        entries.append((GRAY, "not scored"))
    return stack_images([grid, draw_legend(entries, grid.width)], gap=4)


def _get_first_name(name: str) -> str:
    """Return the first of the synonyms that a class list may give ("building, edifice")."""
    return name.split(",")[0]


def draw_error_map(image: ImageArray, truth: ImageArray, predicted: ImageArray) -> ImageArray:
    """Draw wrong pixels red, pixels that are not scored gray, and correct ones as a darkened image without color.

    Args:
        image: (height, width, 3), uint8 RGB.
        truth: class indices, (height, width).
        predicted: class indices, (height, width).
    """
    # without its colors, so that a red object is not taken for an error
    dark = np.repeat((image.mean(2, keepdims=True) * 0.3).astype(np.uint8), 3, 2)
    dark[(truth != predicted) & (truth != IGNORE_INDEX)] = RED
    dark[truth == IGNORE_INDEX] = GRAY
    return dark


def overlay_colors(image: ImageArray, colors: ImageArray) -> ImageArray:
    """Lay colors over an image; both (height, width, 3), uint8 RGB."""
    # over the gray image: mixed with its colors, those of the classes would not be those of the legend
    return np.asarray(0.3 * image.mean(2, keepdims=True) + 0.7 * colors, np.uint8)
