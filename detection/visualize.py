"""Draw a finished run: the objects of its worst, median and best image, and a chart of the AP of each class."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from detection.data.ground_truth import DetectionDataset, DetectionImage, DetectionSplit, InstanceMask
from detection.data.read_image import read_rgb_image
from detection.scoring.detection_files import DETECTIONS_FILE
from engine.pictures.class_bars import draw_class_bars
from engine.pictures.encoding import make_picture
from engine.pictures.item_rank import ItemRank, rank_items
from engine.pictures.layout import (
    arrange_grid,
    draw_legend,
    draw_text_lines,
    get_font,
    make_drawable,
    shorten_text,
    stack_images,
)
from engine.pictures.palette import NO_CLASS_INDEX, get_color, make_palette
from foundation.errors import DataError
from foundation.storage.regular_files import read_regular
from results.records.picture_manifest import DrawnPicture
from results.records.record import Record
from results.statistics.item_files import read_item_table

PANEL_WIDTH = 480
"""Width of a panel, pixels; truth and detections stand side by side."""

MAX_PANEL_HEIGHT = 640
MAX_RESULT_BYTES = 2_000_000_000
"""A larger file of detections is not read: 100 detections with masks in each of 5,000 images have about 200 MB."""

MASK_OPACITY = 0.45

SURE_SCORE = 0.5
"""Detections are drawn from this score on: of the 100 of an image most are there for the sake of recall."""

MIN_DRAWN = 5
"""Where fewer have that score, as many of the best are drawn all the same; their scores are beside their names."""


class DrawnObject(NamedTuple):
    """One object of a picture.

    Attributes:
        label: index of its class.
        box: left, top, width, height in pixels of the image.
        mask: one cell per pixel, (height, width), bool, or ``None``.
        caption: what stands at its box.
        is_crowd: whether it is a group of objects, which has a thin frame.
    """

    label: int
    box: tuple[float, float, float, float]
    mask: NDArray[np.bool_] | None
    caption: str
    is_crowd: bool = False


def draw_detection_run(folder: Path, record: Record, dataset: DetectionDataset) -> list[DrawnPicture]:
    """Draw truth and detections of three images, and the AP of each class.

    Args:
        folder: the run's folder; its ``items.csv`` and its file of detections are read.
        record: the run's record.
        dataset: the data that the run was scored on.

    Raises:
        DataError: an image or the detections are no longer there.
    """
    split = dataset.splits["test"]
    places = {image.name: place for place, image in enumerate(split.images)}
    columns = read_item_table(folder, record).columns
    # F1 of an image and not its AP: with a handful of objects AP jumps with the order of equal scores
    ranks = rank_items(columns["name"], columns["F1"])
    for rank in ranks:
        if rank.name not in places or not split.images[places[rank.name]].path.is_file():
            raise DataError(f"image {rank.name} is no longer there, so it cannot be drawn; restore the data")
    # the file has the detections of all images; those of three are kept
    wanted = {split.images[places[rank.name]].id for rank in ranks}
    found = read_detections(folder, wanted)
    names = [category.name for category in dataset.categories]
    labels = {category.id: label for label, category in enumerate(dataset.categories)}
    pictures = []
    for rank in ranks:
        image = split.images[places[rank.name]]
        truth = list_true_objects(split, places[rank.name], names)
        detected = list_detected_objects(found.get(image.id, []), labels, names)
        pictures.append(_draw_image(rank, image, truth, detected, names))
    pictures.append(_draw_class_chart(folder, record, len(names)))
    return pictures


def read_detections(folder: Path, image_ids: set[int]) -> dict[int, list[Mapping[str, Any]]]:
    """Read the detections of some images from a run's file, by image id.

    Args:
        folder: the run's folder.
        image_ids: the images.

    Raises:
        DataError: the file is not there, or is no list of detections.
    """
    path = folder / DETECTIONS_FILE
    if not path.is_file():
        raise DataError(f"{path} is no longer there, so nothing can be drawn; run again with --fresh")
    try:
        content = json.loads(read_regular(path, MAX_RESULT_BYTES))
        found: dict[int, list[Mapping[str, Any]]] = {}
        for each in content:
            if each["image_id"] in image_ids:
                found.setdefault(each["image_id"], []).append(each)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"{path} is not a list of detections ({type(error).__name__}); run again with --fresh"
        ) from error
    return found


def list_true_objects(split: DetectionSplit, place: int, names: Sequence[str]) -> list[DrawnObject]:
    """Return the objects of an image as they are drawn.

    Args:
        split: the images and objects.
        place: index of the image.
        names: name of each class.
    """
    rows, image, objects = split.annotations.find_rows(place), split.images[place], split.annotations
    found = []
    for row in range(rows.start, rows.stop):
        mask = None if objects.masks is None else decode_mask(objects.masks[row], (image.height, image.width))
        label, is_crowd = int(objects.labels[row]), bool(objects.is_crowd[row])
        left, top, width, height = objects.boxes[row].tolist()
        caption = f"{names[label]} (crowd)" if is_crowd else names[label]
        found.append(DrawnObject(label, (left, top, width, height), mask, caption, is_crowd))
    return found


def list_detected_objects(
    results: Sequence[Mapping[str, Any]], labels: Mapping[int, int], names: Sequence[str]
) -> list[DrawnObject]:
    """Return the detections of an image that are drawn, the best last, so that it is on top.

    Args:
        results: entries of a results file of COCO.
        labels: class index by category id.
        names: name of each class.

    Raises:
        DataError: an entry is no detection of these classes.
    """
    found = []
    try:
        ranked = sorted(results, key=lambda one: -float(one["score"]))
        count = max(MIN_DRAWN, sum(one["score"] >= SURE_SCORE for one in ranked))
        for each in reversed(ranked[:count]):
            label = labels[each["category_id"]]
            left, top, width, height = map(float, each["bbox"])
            rle = each.get("segmentation")
            mask = None if rle is None else np.asarray(coco_mask.decode(rle), bool)
            text = f"{names[label]} {each['score']:.2f}"
            found.append(DrawnObject(label, (left, top, width, height), mask, text))
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"the stored detections do not fit the data ({type(error).__name__}); run again with --fresh"
        ) from error
    return found


def decode_mask(mask: InstanceMask, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of an object, (height, width).

    Args:
        mask: polygons or run lengths.
        size: height and width of the image, pixels.
    """
    if not isinstance(mask, dict):
        # pycocotools fills polygons as the metric does, so the picture shows what is compared
        outlines = [outline.ravel().tolist() for outline in mask]
        mask = coco_mask.merge(coco_mask.frPyObjects(outlines, *size))
    return np.asarray(coco_mask.decode(mask), bool)


def _draw_image(
    rank: ItemRank,
    image: DetectionImage,
    truth: Sequence[DrawnObject],
    detected: Sequence[DrawnObject],
    names: Sequence[str],
) -> DrawnPicture:
    pixels = np.asarray(read_rgb_image(image), np.uint8)
    sheet = draw_panels(pixels, truth, detected, names, f"{rank.name}, F1 {rank.score:.1f} %")
    title = f"{rank.label} image: {rank.name}, F1 {rank.score:.1f} %"
    caption = (
        f"F1 is that of all detections of the image at an IoU of 0.5. Those from a score of {SURE_SCORE:g} on are "
        f"drawn, {MIN_DRAWN} at least. AP is over all images together."
    )
    return make_picture(sheet, f"{rank.label}_image", "overlay", title, caption=caption, item=rank.name)


def draw_panels(
    image: NDArray[np.uint8],
    truth: Sequence[DrawnObject],
    detected: Sequence[DrawnObject],
    names: Sequence[str],
    heading: str,
) -> Image.Image:
    """Draw truth and detections of an image side by side, and the legend of their classes.

    Args:
        image: (height, width, 3), uint8 RGB.
        truth: the objects of the annotation file.
        detected: the detections.
        names: name of each class.
        heading: stands above.
    """
    width = min(PANEL_WIDTH, max(1, round(MAX_PANEL_HEIGHT * image.shape[1] / image.shape[0])))
    width = max(width, 160)  # a very tall image would leave no room for its caption
    panels = [
        stack_images([draw_text_lines([name], width), draw_objects(image, objects, width)])
        for name, objects in ((f"truth: {len(truth)} objects", truth), (f"found: the best {len(detected)}", detected))
    ]
    grid = arrange_grid(panels, num_columns=2, gap=6)
    # a class has its own color in every picture, whether or not others occur
    present = sorted({each.label for each in (*truth, *detected)})
    entries = [(get_color(make_palette(), choose_color(label)), names[label]) for label in present]
    parts = [draw_text_lines([shorten_text(heading, grid.width - 8)], grid.width), grid]
    return stack_images([*parts, draw_legend(entries, grid.width)] if entries else parts, gap=4)


def choose_color(label: int) -> int:
    """Return the index of a class's color; of more than 255 classes some share one."""
    return label % NO_CLASS_INDEX


def draw_objects(image: NDArray[np.uint8], objects: Sequence[DrawnObject], width: int) -> Image.Image:
    """Draw masks, boxes and captions over an image that is resized to a width.

    Args:
        image: (height, width, 3), uint8 RGB.
        objects: what is drawn, the topmost last.
        width: width of the panel, pixels.
    """
    colors = make_palette()
    # masks are mixed at the size of the image, because that is the size at which they were scored
    mixed = image.astype(np.float32)
    for each in objects:
        if each.mask is not None and each.mask.shape == mixed.shape[:2]:
            color = colors[choose_color(each.label)].astype(np.float32)
            mixed[each.mask] = (1 - MASK_OPACITY) * mixed[each.mask] + MASK_OPACITY * color
    factor = width / image.shape[1]
    panel = Image.fromarray(mixed.round().astype(np.uint8))
    # boxes are drawn after the resizing, so that lines and letters are sharp
    panel = panel.resize((width, max(1, round(image.shape[0] * factor))), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(panel)
    for each in objects:
        left, top, box_width, box_height = (factor * value for value in each.box)
        frame = (left, top, left + max(box_width, 1), top + max(box_height, 1))
        color = get_color(colors, choose_color(each.label))
        # a crowd is thin: it is no object that has to be found
        pen.rectangle(frame, outline=color, width=1 if each.is_crowd else 2)
    for each in objects:  # the names after all frames, which would cross them
        _draw_caption(pen, each, factor, panel.size)
    return panel


def _draw_caption(pen: ImageDraw.ImageDraw, drawn: DrawnObject, factor: float, size: tuple[int, int]) -> None:
    """Write the name of an object into a strip at the upper edge of its box, inside of the panel."""
    text = make_drawable(drawn.caption)
    font = get_font(11, text)
    length, height = round(font.getlength(text)) + 4, 14
    left = min(max(0, round(factor * drawn.box[0])), max(0, size[0] - length))
    top = round(factor * drawn.box[1])
    # above the box, or inside of it where the box touches the upper border
    top = top - height if top >= height else min(top, size[1] - height)
    color = get_color(make_palette(), choose_color(drawn.label))
    pen.rectangle((left, top, left + length, top + height), fill=color)
    # black or white, whichever stands out: the luminance of the color by ITU-R BT.601
    light = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    pen.text((left + 2, top), text, fill=(0, 0, 0) if light else (255, 255, 255), font=font)


def _draw_class_chart(folder: Path, record: Record, num_classes: int) -> DrawnPicture:
    assert record.result is not None
    by_kind = record.result.details.get("AP_by_class")
    class_ap = by_kind.get("box") if isinstance(by_kind, dict) else None
    is_whole = isinstance(class_ap, dict) and all(
        isinstance(value, int | float) and 0 <= value <= 100 for value in class_ap.values()
    )
    if not is_whole:  # anybody may have written it
        raise DataError(f"the record in {folder} has no AP from 0 to 100 % of each class; restore the record")
    scores = list(cast(Mapping[str, float], class_ap).items())
    chart = draw_class_bars(scores, num_classes, "box AP, %", "no objects in the test split")
    title = f"box AP of each class, mean {record.result.metrics['box_AP'].value:.2f} %"
    caption = "Over all test images and the IoU thresholds 0.5 to 0.95."
    return make_picture(chart, "ap_by_class", "class_bars", title, caption=caption)
