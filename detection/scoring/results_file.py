"""Read a file of detections in COCO's results format, whoever wrote it. Imports no torch."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np

from detection.data.ground_truth import Category, DetectionSplit, RleMask
from detection.data.instance_masks import pack_mask, parse_mask
from detection.data.json_tables import SingleValue, iterate_tables, read_json_text
from detection.scoring.detections import DetectionColumns
from foundation.display_text import shorten_value
from foundation.errors import DataError
from foundation.storage.regular_files import open_regular

LIST_KEYS = frozenset({"annotations", "predictions", "results", "detections"})
"""Keys under which tools put the list of detections if their file is an object."""

_SPACE = re.compile(r"[ \t\n\r]*")
_MAX_ABS = 1e9
"""Pixels; a larger number is no coordinate."""


def read_results(path: Path, split: DetectionSplit, categories: Sequence[Category]) -> DetectionColumns:
    """Read detections and check every one of them; their order is kept, because it decides between equal scores.

    Args:
        path: a JSON file: a list of detections with ``image_id``, ``category_id``, ``score`` and ``bbox`` (left, top,
            width, height) or ``segmentation``, or an object that holds one such list.
        split: the images that were to be searched.
        categories: the categories of the ground truth, in ascending order of their ids.

    Raises:
        DataError: it cannot be read, or a detection cannot be meant; the message names it and the likely cause.
    """
    collected = _ResultsReader(path, split, categories)
    for place, row in enumerate(_iterate_results(path)):
        collected.add_row(place, row)
    return collected.finish()


def _iterate_results(path: Path) -> Iterator[Any]:
    """Yield the detections one by one, so that 500 MB of text never stand in memory as objects of Python."""
    try:
        with open_regular(path) as file:
            start = file.read(4096).decode("utf-8-sig", "replace").lstrip()
    except OSError as error:
        raise DataError(f"cannot read the detections {path}: {error.strerror or error}; name another file") from error
    if not start.startswith("{"):
        yield from _iterate_list(path, read_json_text(path))
        return
    keys: set[str] = set()
    for row in iterate_tables(path, LIST_KEYS):
        if isinstance(row, SingleValue):
            continue
        keys.add(row.table)
        if len(keys) > 1:
            raise DataError(f"{path} has the lists {' and '.join(sorted(keys))}; keep the one with the detections")
        yield row.content
    # an empty list has no rows; such a file is small
    if not keys and not LIST_KEYS & json.loads(read_json_text(path)).keys():
        raise DataError(f"{path} is an object without detections; write a list, as COCO's results files are")


def _iterate_list(path: Path, text: str) -> Iterator[Any]:
    # Python would read NaN, which is not JSON, and every comparison with it is false
    def refuse_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a number of JSON")

    decoder = json.JSONDecoder(parse_constant=refuse_constant)

    def skip_space(position: int) -> int:
        found = _SPACE.match(text, position)
        return found.end() if found else position

    try:
        position = skip_space(0)
        if text[position : position + 1] != "[":
            raise DataError(f"{path} is not a list of detections, which a results file of COCO is")
        position = skip_space(position + 1)
        if text[position] == "]":
            return
        while True:
            row, position = decoder.raw_decode(text, position)
            yield row
            position = skip_space(position)
            if text[position] == "]":
                break
            if text[position] != ",":
                raise ValueError(f"no comma at character {position:,}")
            position = skip_space(position + 1)
    except (ValueError, IndexError, RecursionError) as error:
        reason = "it ends too early" if isinstance(error, IndexError) else shorten_value(str(error))
        raise DataError(f"{path} is not valid JSON ({reason}); write it again") from error


class _ResultsReader:
    """Collects the columns of a results file."""

    def __init__(self, path: Path, split: DetectionSplit, categories: Sequence[Category]) -> None:
        self.path, self.split, self.categories = path, split, categories
        self.places = {image.id: index for index, image in enumerate(split.images)}
        self.labels = {category.id: index for index, category in enumerate(categories)}
        self.images: list[int] = []
        self.found_labels: list[int] = []
        self.scores: list[float] = []
        self.boxes: list[list[float]] = []
        self.masks: list[RleMask] = []
        self.unknown: Counter[int] = Counter()
        self.known: Counter[int] = Counter()

    def add_row(self, place: int, row: Any) -> None:
        """Add a detection."""
        where = f"{self.path}: detection {place}"
        if not isinstance(row, dict):
            raise DataError(f"{where} is {shorten_value(row)} and not an object; write image_id, category_id, ...")
        # pycocotools stops at an unknown image with an assertion
        image = self._read_id(row, "image_id", where)
        if image not in self.places:
            raise DataError(
                f"{where} is of image {image}, which is not among the {len(self.split):,} images of the ground truth; "
                "score it against the annotations of the split that was searched"
            )
        # it drops an unknown category without a word; here all are counted, so that the message can name the cause
        category = self._read_id(row, "category_id", where)
        (self.known if category in self.labels else self.unknown)[category] += 1
        self.images.append(self.places[image])
        self.found_labels.append(self.labels.get(category, 0))
        self.scores.append(_read_score(row, where))
        box, mask = row.get("bbox"), row.get("segmentation")
        # some tools write empty fields for what they do not have
        if box not in (None, []):
            self.boxes.append(_read_box(box, where))
        if mask not in (None, []):
            self.masks.append(self._read_mask(mask, self.places[image], where))
        if max(len(self.boxes), len(self.masks)) <= place:
            raise DataError(f"{where} has neither a bbox nor a segmentation; write one of them")

    def _read_id(self, row: dict[str, Any], key: str, where: str) -> int:
        value = row.get(key)
        # pycocotools takes 42.0 for 42; a text would match nothing and be dropped
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            hint = self._explain_text(key, value) if isinstance(value, str) else ""
            raise DataError(
                f"{where} has the {key} {shorten_value(value)}{hint}; write the number of the annotation file"
            )
        return value

    def _explain_text(self, key: str, value: str) -> str:
        """Say what a text stands for in place of a number, after a look at all of them."""
        by_name = {image.name: image.id for image in self.split.images}
        by_name |= {PurePosixPath(name).stem: number for name, number in by_name.items()}
        if key == "category_id":
            by_name = {category.name: category.id for category in self.categories}
        texts = [row.get(key) for row in _iterate_results(self.path) if isinstance(row, dict)]
        if all(isinstance(each, str) and each.strip().isdecimal() and len(each) < 20 for each in texts):
            return f" (a text, as all {len(texts):,} are, and all are whole numbers: convert them with int)"
        if value in by_name:
            return f" (a text: a name of which the number is {by_name[value]})"
        return " (a text)"

    def _read_mask(self, value: Any, image: int, where: str) -> RleMask:
        height, width = self.split.images[image].height, self.split.images[image].width
        try:
            mask = parse_mask(value, height, width)
            assert mask is not None, "empty ones were left out before"
            # polygons are filled here: pycocotools would take their area for run lengths
            return pack_mask(mask, height, width)
        except ValueError as error:
            raise DataError(f"{where} {error}; write masks at the size of the original image") from error

    def finish(self) -> DetectionColumns:
        """Join the columns, after the categories of all detections are known."""
        images, labels, scores = self.images, self.found_labels, self.scores
        if self.unknown:
            raise DataError(self._explain_unknown_categories())
        for name, found in (("bbox", self.boxes), ("segmentation", self.masks)):
            if 0 < len(found) < len(scores):
                raise DataError(
                    f"{self.path}: {len(found):,} of {len(scores):,} detections have a {name}; write it for all or none"
                )
        # an empty file has boxes: none of them
        has_boxes = bool(self.boxes) or not self.masks
        return DetectionColumns(
            *(np.array(images, np.int64), np.array(labels, np.int64), np.array(scores, np.float64)),
            np.array(self.boxes, np.float64).reshape(-1, 4) if has_boxes else None,
            self.masks or None,
        )

    def _explain_unknown_categories(self) -> str:
        used = sorted({*self.known, *self.unknown})
        count, first = len(self.categories), next(iter(self.unknown))
        ids = [category.id for category in self.categories]
        text = (
            f"{self.path}: {self.unknown.total():,} of {self.unknown.total() + self.known.total():,} detections have a "
            f"category that is not in the ground truth, the first {first} (its ids are {ids[0]} to {ids[-1]})"
        )
        for start in (0, 1):
            # an id that the ground truth has beyond its number of categories shows that these are ids after all
            if ids != list(range(start, start + count)) and used[0] >= start and used[-1] < start + count:
                return (
                    f"{text}; they look like the numbers of the categories in their order, counted from {start}: write "
                    "the category's id instead"
                )
        return f"{text}; write the ids of the annotation file"


def _read_score(row: dict[str, Any], where: str) -> float:
    value = row.get("score")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        is_truth = value is None and "iscrowd" in row
        hint = " (these look like the objects of an annotation file, not like detections)" if is_truth else ""
        raise DataError(f"{where} has the score {shorten_value(value)}; write a number from 0 to 1{hint}")
    if not 0 <= value <= 1:
        raise DataError(
            f"{where} has the score {shorten_value(value)}; write a number from 0 to 1, not percent and not a logit"
        )
    return float(value)


def _read_box(value: Any, where: str) -> list[float]:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 4 or not all(_is_coordinate(each) for each in numbers):
        raise DataError(f"{where} has the bbox {shorten_value(value)}; write left, top, width and height in pixels")
    if numbers[2] < 0 or numbers[3] < 0:
        raise DataError(
            f"{where} has the bbox {shorten_value(value)} with a negative width or height; a bbox is left, top, width, "
            "height in pixels, not two corners"
        )
    return [float(each) for each in numbers]


def _is_coordinate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_ABS
