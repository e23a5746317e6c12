"""Draw a finished run: overlays of its best, median and worst image, and a chart of the IoU of each class."""

from __future__ import annotations

import colorsys
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from foundation.errors import DataError
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.files import ImageArray, read_image_pair, read_label_map
from segmentation.data.labels import IGNORE_INDEX

MAX_PANEL_HEIGHT = 360
"""Largest height of a panel, pixels."""
_BAR_HEIGHT = 18  # pixels per row of the chart
_GRAY, _RED, _TEXT_COLOR, _BACKGROUND_COLOR = (128, 128, 128), (214, 39, 40), (30, 30, 30), (255, 255, 255)


class SelectedImage(NamedTuple):
    """An image to draw: its rank (``best``, ``median`` or ``worst``), its name, and its own mIoU in percent."""

    rank_label: str
    name: str
    miou: float


def select_images(items_file: Path) -> list[SelectedImage]:
    """Select the best, the median and the worst image of a run by the mIoU of each image.

    Args:
        items_file: the run's ``items.csv``.

    Returns:
        Three images; none if no image has a score.
    """
    with items_file.open(encoding="utf-8") as file:
        # an image without any scored pixel has no mIoU
        rows = [(float(line["mIoU"]), line["name"]) for line in csv.DictReader(file) if line["mIoU"]]
    rows.sort(reverse=True)
    ranks = {"best": 0, "median": len(rows) // 2, "worst": len(rows) - 1}
    return [SelectedImage(label, rows[rank][1], rows[rank][0]) for label, rank in ranks.items()] if rows else []


def draw_segmentation_run(
    folder: Path, dataset: SegmentationDataset, class_iou: Mapping[str, float], title: str
) -> list[Path]:
    """Write ``pictures/*.png`` below a run's folder.

    Args:
        folder: the run's folder; its ``items.csv`` and ``predictions/`` are read.
        dataset: the data that the run was scored on.
        class_iou: IoU in percent of each class that is present, by class name.
        title: title of the chart.

    Returns:
        The files written.

    Raises:
        DataError: an image or its prediction is no longer there.
    """
    target = folder / "pictures"
    target.mkdir(exist_ok=True)
    pairs = {pair.name: pair for pair in dataset.splits["test"]}
    files = []
    for chosen in select_images(folder / "items.csv"):
        prediction = folder / "predictions" / f"{chosen.name}.png"
        if chosen.name not in pairs or not prediction.is_file():
            raise DataError(
                f"the image or the prediction of {chosen.name} is no longer there, so it cannot be drawn; "
                "restore the data, or run again with --fresh"
            )
        files.append(target / f"{chosen.rank_label}_{chosen.name}.png")
        draw_panels(pairs[chosen.name], prediction, dataset, chosen).save(files[-1])
    files.append(target / "iou_by_class.png")
    draw_iou_bars(class_iou, dataset.label_space.num_classes, title).save(files[-1])
    return files


def draw_panels(
    pair: ImageLabelPair, prediction: Path, dataset: SegmentationDataset, selected: SelectedImage
) -> Image.Image:
    """Draw image, truth, prediction and errors of one image side by side.

    Args:
        pair: the image and its label file.
        prediction: the label PNG that the run wrote.
        dataset: gives the label space.
        selected: gives the caption.
    """
    image, truth = read_image_pair(pair, dataset.label_space)
    labels = read_label_map(prediction, dataset.label_space)
    colors = make_palette(dataset.label_space.num_classes)
    rgb = image[:, :, ::-1]  # OpenCV reads BGR
    panels = {
        f"{selected.rank_label}: {selected.name}, mIoU {selected.miou:.1f} %": rgb,
        "truth (gray: not scored)": _overlay_colors(rgb, colors[truth]),
        "prediction": _overlay_colors(rgb, colors[labels]),
        "errors (red)": draw_error_map(rgb, truth, labels),
    }
    height = min(MAX_PANEL_HEIGHT, image.shape[0])
    width = round(image.shape[1] * height / image.shape[0])
    # panels of a tiny image are enlarged to 240 px, so that the captions fit
    width, height = (max(side, 240 * side // min(width, height, 240)) for side in (width, height))
    # four panels with gaps of 5 px, below a caption line of 24 px
    sheet = Image.new("RGB", (4 * width + 15, height + 24), _BACKGROUND_COLOR)
    pen = ImageDraw.Draw(sheet)
    for column, (caption, pixels) in enumerate(panels.items()):
        left = column * (width + 5)
        sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height)), (left, 24))
        pen.text((left + 2, 5), caption, fill=_TEXT_COLOR, font=ImageFont.load_default(12))
    return sheet


def make_palette(num_classes: int) -> NDArray[np.uint8]:
    """Return one RGB color per class index, (256, 3); gray for pixels that are not scored."""
    colors = np.full((256, 3), _GRAY, np.uint8)
    for index in range(num_classes):
        # steps of the golden ratio spread hues evenly for any number of classes, so that neighbors differ clearly;
        # the lightness cycles through five levels to tell classes of similar hue apart
        hue, light = (index * 0.61803) % 1, 0.35 + 0.35 * (index * 7 % 5) / 4
        colors[index] = [round(255 * part) for part in colorsys.hls_to_rgb(hue, light, 0.75)]
    colors[IGNORE_INDEX] = _GRAY
    return colors


def draw_error_map(image: ImageArray, truth: ImageArray, predicted: ImageArray) -> ImageArray:
    """Draw wrong pixels red, pixels that are not scored gray, and correct ones as a darkened image.

    Args:
        image: (height, width, 3), uint8 RGB.
        truth: class indices, (height, width).
        predicted: class indices, (height, width).
    """
    dark = (image * 0.4).astype(np.uint8)
    dark[(truth != predicted) & (truth != IGNORE_INDEX)] = _RED
    dark[truth == IGNORE_INDEX] = _GRAY
    return dark


def _overlay_colors(image: ImageArray, colors: ImageArray) -> ImageArray:
    return np.asarray(0.35 * image + 0.65 * colors, np.uint8)


def draw_iou_bars(class_iou: Mapping[str, float], num_classes: int, title: str) -> Image.Image:
    """Draw one horizontal bar per class that is present, best first, and the number of absent classes below.

    Args:
        class_iou: IoU in percent of each class that is present, by class name.
        num_classes: number of classes of the data set.
        title: text above the bars.
    """
    present = sorted(((value, name) for name, value in class_iou.items()), reverse=True)
    font = ImageFont.load_default(12)
    # rows for the title, the bars, the note about absent classes, and a margin
    sheet = Image.new("RGB", (640, _BAR_HEIGHT * (len(present) + 3)), _BACKGROUND_COLOR)
    pen = ImageDraw.Draw(sheet)
    pen.text((8, 4), title, fill=_TEXT_COLOR, font=font)
    for row, (value, name) in enumerate(present, start=1):
        top = 6 + row * _BAR_HEIGHT
        # a class list may give synonyms ("building, edifice"); the first one is enough here
        pen.text((8, top), name.split(",")[0][:24], fill=_TEXT_COLOR, font=font)
        # 4 px per percentage point: 100 % is 400 px long and leaves room for the number
        pen.rectangle((170, top + 1, 170 + 4 * value, top + _BAR_HEIGHT - 4), fill=(31, 119, 180))
        pen.text((176 + 4 * value, top), f"{value:.1f}", fill=_TEXT_COLOR, font=font)
    if num_classes > len(present):
        note = f"{num_classes - len(present)} classes occur in neither truth nor prediction"
        pen.text((8, 8 + _BAR_HEIGHT * (len(present) + 1)), note, fill=_GRAY, font=font)
    return sheet
