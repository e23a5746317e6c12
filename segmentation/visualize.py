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
from segmentation.data.dataset_layout import LabelledSet, Pair
from segmentation.data.files import Pixels, read_labels, read_pair
from segmentation.data.labels import IGNORED

HEIGHT = 360
"""Largest height of a panel, pixels."""
_BAR = 18
_GREY, _RED, _INK, _PAPER = (128, 128, 128), (214, 39, 40), (30, 30, 30), (255, 255, 255)


class Chosen(NamedTuple):
    """An image worth a look: which one of the run it is, its name and its own mIoU in percent."""

    which: str
    name: str
    value: float


def choose(items: Path) -> list[Chosen]:
    """The best, the median and the worst image of a run's ``items.csv``, by their own mIoU."""
    with items.open(encoding="utf-8") as file:
        rows = [(float(line["mIoU"]), line["name"]) for line in csv.DictReader(file) if line["mIoU"]]
    rows.sort(reverse=True)
    places = {"best": 0, "median": len(rows) // 2, "worst": len(rows) - 1}
    return [Chosen(which, rows[place][1], rows[place][0]) for which, place in places.items()] if rows else []


def draw(folder: Path, found: LabelledSet, iou: Mapping[str, float], title: str) -> list[Path]:
    """Write ``pictures/*.png`` below a run's folder.

    Args:
        folder: of the run; its ``items.csv`` and ``predictions`` are read.
        found: the data the run was scored on.
        iou: by name of the classes present, percent.
        title: of the chart.

    Raises:
        DataError: an image is no longer there.
    """
    target = folder / "pictures"
    target.mkdir(exist_ok=True)
    pairs = {pair.name: pair for pair in found.splits["test"]}
    files = []
    for chosen in choose(folder / "items.csv"):
        prediction = folder / "predictions" / f"{chosen.name}.png"
        if chosen.name not in pairs or not prediction.is_file():
            raise DataError(f"the image or the prediction of {chosen.name} is no longer there, so it cannot be drawn")
        files.append(target / f"{chosen.which}_{chosen.name}.png")
        panels(pairs[chosen.name], prediction, found, chosen).save(files[-1])
    files.append(target / "iou_by_class.png")
    bars(iou, found.space.classes, title).save(files[-1])
    return files


def panels(pair: Pair, prediction: Path, found: LabelledSet, chosen: Chosen) -> Image.Image:
    """Image, truth, prediction and errors side by side."""
    image, truth = read_pair(pair, found.space)
    labels = read_labels(prediction, found.space)
    colours = palette(found.space.classes)
    rgb = image[:, :, ::-1]
    shown = {
        f"{chosen.which}: {chosen.name}, mIoU {chosen.value:.1f} %": rgb,
        "truth (grey: not counted)": _blend(rgb, colours[truth]),
        "prediction": _blend(rgb, colours[labels]),
        "errors (red)": error_map(rgb, truth, labels),
    }
    height = min(HEIGHT, image.shape[0])
    width = round(image.shape[1] * height / image.shape[0])
    width, height = (max(side, 240 * side // min(width, height, 240)) for side in (width, height))
    sheet = Image.new("RGB", (4 * width + 15, height + 24), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, (caption, pixels) in enumerate(shown.items()):
        left = place * (width + 5)
        sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height)), (left, 24))
        pen.text((left + 2, 5), caption, fill=_INK, font=ImageFont.load_default(12))
    return sheet


def palette(classes: int) -> NDArray[np.uint8]:
    """A colour a class number 0..255, far apart for neighbours; grey for what is not counted."""
    colours = np.full((256, 3), _GREY, np.uint8)
    for number in range(classes):
        hue, light = (number * 0.61803) % 1, 0.35 + 0.35 * (number * 7 % 5) / 4
        colours[number] = [round(255 * part) for part in colorsys.hls_to_rgb(hue, light, 0.75)]
    colours[IGNORED] = _GREY
    return colours


def error_map(image: Pixels, truth: Pixels, labels: Pixels) -> Pixels:
    """Wrong pixels red, right ones a dark image, grey where nothing counts."""
    dark = (image * 0.4).astype(np.uint8)
    dark[(truth != labels) & (truth != IGNORED)] = _RED
    dark[truth == IGNORED] = _GREY
    return dark


def _blend(image: Pixels, colours: Pixels) -> Pixels:
    return np.asarray(0.35 * image + 0.65 * colours, np.uint8)


def bars(iou: Mapping[str, float], classes: int, title: str) -> Image.Image:
    """Horizontal bars of the classes present, best first; absent ones are counted below."""
    present = sorted(((value, name) for name, value in iou.items()), reverse=True)
    font = ImageFont.load_default(12)
    sheet = Image.new("RGB", (640, _BAR * (len(present) + 3)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((8, 4), title, fill=_INK, font=font)
    for place, (value, name) in enumerate(present, start=1):
        top = 6 + place * _BAR
        pen.text((8, top), name.split(",")[0][:24], fill=_INK, font=font)
        pen.rectangle((170, top + 1, 170 + 4 * value, top + _BAR - 4), fill=(31, 119, 180))
        pen.text((176 + 4 * value, top), f"{value:.1f}", fill=_INK, font=font)
    if classes > len(present):
        note = f"{classes - len(present)} classes occur in neither truth nor prediction"
        pen.text((8, 8 + _BAR * (len(present) + 1)), note, fill=_GREY, font=font)
    return sheet
