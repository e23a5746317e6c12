"""Pictures of a finished run: overlays of its best, median and worst image, and IoU by class."""

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
_BAR_HEIGHT = 18
_GRAY, _RED, _TEXT_COLOR, _BACKGROUND_COLOR = (128, 128, 128), (214, 39, 40), (30, 30, 30), (255, 255, 255)


class SelectedImage(NamedTuple):
    """An image worth a look: which one of the run it is, its name and its own mIoU in percent."""

    rank_label: str
    name: str
    miou: float


def select_images(items_file: Path) -> list[SelectedImage]:
    """The best, the median and the worst image of a run's ``items.csv``, by their own mIoU."""
    with items_file.open(encoding="utf-8") as file:
        rows = [(float(line["mIoU"]), line["name"]) for line in csv.DictReader(file) if line["mIoU"]]
    rows.sort(reverse=True)
    places = {"best": 0, "median": len(rows) // 2, "worst": len(rows) - 1}
    return [SelectedImage(which, rows[place][1], rows[place][0]) for which, place in places.items()] if rows else []


def draw_segmentation_run(
    folder: Path, dataset: SegmentationDataset, class_iou: Mapping[str, float], title: str
) -> list[Path]:
    """Write ``pictures/*.png`` below a run's folder.

    Args:
        folder: of the run; its ``items.csv`` and ``predictions`` are read.
        dataset: the data the run was scored on.
        class_iou: by name of the classes present, percent.
        title: of the chart.

    Raises:
        DataError: an image is no longer there.
    """
    target = folder / "pictures"
    target.mkdir(exist_ok=True)
    pairs = {pair.name: pair for pair in dataset.splits["test"]}
    files = []
    for chosen in select_images(folder / "items.csv"):
        prediction = folder / "predictions" / f"{chosen.name}.png"
        if chosen.name not in pairs or not prediction.is_file():
            raise DataError(f"the image or the prediction of {chosen.name} is no longer there, so it cannot be drawn")
        files.append(target / f"{chosen.rank_label}_{chosen.name}.png")
        draw_panels(pairs[chosen.name], prediction, dataset, chosen).save(files[-1])
    files.append(target / "iou_by_class.png")
    draw_iou_bars(class_iou, dataset.label_space.num_classes, title).save(files[-1])
    return files


def draw_panels(
    pair: ImageLabelPair, prediction: Path, dataset: SegmentationDataset, selected: SelectedImage
) -> Image.Image:
    """Image, truth, prediction and errors side by side."""
    image, truth = read_image_pair(pair, dataset.label_space)
    labels = read_label_map(prediction, dataset.label_space)
    colours = make_palette(dataset.label_space.num_classes)
    rgb = image[:, :, ::-1]
    shown = {
        f"{selected.rank_label}: {selected.name}, mIoU {selected.miou:.1f} %": rgb,
        "truth (grey: not counted)": _overlay_colors(rgb, colours[truth]),
        "prediction": _overlay_colors(rgb, colours[labels]),
        "errors (red)": draw_error_map(rgb, truth, labels),
    }
    height = min(MAX_PANEL_HEIGHT, image.shape[0])
    width = round(image.shape[1] * height / image.shape[0])
    width, height = (max(side, 240 * side // min(width, height, 240)) for side in (width, height))
    sheet = Image.new("RGB", (4 * width + 15, height + 24), _BACKGROUND_COLOR)
    pen = ImageDraw.Draw(sheet)
    for place, (caption, pixels) in enumerate(shown.items()):
        left = place * (width + 5)
        sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height)), (left, 24))
        pen.text((left + 2, 5), caption, fill=_TEXT_COLOR, font=ImageFont.load_default(12))
    return sheet


def make_palette(num_classes: int) -> NDArray[np.uint8]:
    """A colour a class number 0..255, far apart for neighbours; grey for what is not counted."""
    colours = np.full((256, 3), _GRAY, np.uint8)
    for number in range(num_classes):
        hue, light = (number * 0.61803) % 1, 0.35 + 0.35 * (number * 7 % 5) / 4
        colours[number] = [round(255 * part) for part in colorsys.hls_to_rgb(hue, light, 0.75)]
    colours[IGNORE_INDEX] = _GRAY
    return colours


def draw_error_map(image: ImageArray, truth: ImageArray, predicted: ImageArray) -> ImageArray:
    """Wrong pixels red, right ones a dark image, grey where nothing counts."""
    dark = (image * 0.4).astype(np.uint8)
    dark[(truth != predicted) & (truth != IGNORE_INDEX)] = _RED
    dark[truth == IGNORE_INDEX] = _GRAY
    return dark


def _overlay_colors(image: ImageArray, colors: ImageArray) -> ImageArray:
    return np.asarray(0.35 * image + 0.65 * colors, np.uint8)


def draw_iou_bars(class_iou: Mapping[str, float], num_classes: int, title: str) -> Image.Image:
    """Horizontal bars of the classes present, best first; absent ones are counted below."""
    present = sorted(((value, name) for name, value in class_iou.items()), reverse=True)
    font = ImageFont.load_default(12)
    sheet = Image.new("RGB", (640, _BAR_HEIGHT * (len(present) + 3)), _BACKGROUND_COLOR)
    pen = ImageDraw.Draw(sheet)
    pen.text((8, 4), title, fill=_TEXT_COLOR, font=font)
    for place, (value, name) in enumerate(present, start=1):
        top = 6 + place * _BAR_HEIGHT
        pen.text((8, top), name.split(",")[0][:24], fill=_TEXT_COLOR, font=font)
        pen.rectangle((170, top + 1, 170 + 4 * value, top + _BAR_HEIGHT - 4), fill=(31, 119, 180))
        pen.text((176 + 4 * value, top), f"{value:.1f}", fill=_TEXT_COLOR, font=font)
    if num_classes > len(present):
        note = f"{num_classes - len(present)} classes occur in neither truth nor prediction"
        pen.text((8, 8 + _BAR_HEIGHT * (len(present) + 1)), note, fill=_GRAY, font=font)
    return sheet
