"""Read an annotation file in COCO's format into columns. Imports no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from detection.data.ground_truth import Annotations, Category, DetectionImage, DetectionSplit, InstanceMask
from detection.data.instance_masks import measure_mask, parse_mask
from detection.data.json_tables import SingleValue, iterate_tables
from foundation.display_text import shorten_value
from foundation.errors import DataError
from foundation.plural import format_count
from foundation.values.number_ranges import MAX_SIDE

_TABLES = frozenset({"images", "annotations", "categories"})
_MAX_ID = 2**53
"""Ids beyond it lose digits where a number of JSON is read as a float."""
_MAX_OUTSIDE = 2.0
"""Pixels that a box may reach beyond its image without being counted; COCO's own do, by rounding."""
_CORNER_SHARE = 0.1
"""Share of boxes that reach outside of their image from which on they look like corners."""


class AnnotationFile(NamedTuple):
    """What an annotation file holds: images with objects, categories in ascending order of their ids, and remarks.

    Attributes:
        split: the images in ascending order of their ids; masks are ``None`` unless every object has one.
        categories: as the file lists them.
        notes: what was decided while reading, one sentence each.
    """

    split: DetectionSplit
    categories: Sequence[Category]
    notes: tuple[str, ...]


_AREA_SHARES = (0.05, 1.5)
"""Median share of its box that an object can fill."""


class _Object(NamedTuple):
    """An object as it was read."""

    image: int
    id: int
    category: int
    box: list[float]
    area: float
    is_crowd: bool
    mask: InstanceMask | None


def read_annotations(path: Path, image_folder: Path, *, needs_images: bool = True) -> AnnotationFile:
    """Read an annotation file in COCO's format, and find its images.

    Args:
        path: the JSON file.
        image_folder: folder that ``file_name`` is relative to.
        needs_images: whether the image files must be there.

    Raises:
        DataError: something is missing, twice, or cannot be meant; the message names it and the cure.
    """
    reader = _AnnotationReader(path, image_folder)
    for row in iterate_tables(path, _TABLES):
        if isinstance(row, SingleValue):
            continue
        if not isinstance(row.content, dict):
            raise DataError(f"{path}: an element of {row.table} is {shorten_value(row.content)} and not an object")
        if row.table == "images":
            reader.add_image(row.content)
        elif row.table == "categories":
            reader.add_category(row.content)
        else:
            reader.add_object(row.content)
    found = reader.finish()
    if needs_images:
        _require_files(path, image_folder, found.split.images)
    return found


def _require_files(path: Path, folder: Path, images: Sequence[DetectionImage]) -> None:
    if missing := [image for image in images if not image.path.is_file()]:
        raise DataError(
            f"{path} lists {format_count(len(images), 'image')}, and {len(missing):,} of them are not in {folder}: "
            f"the first is {missing[0].name}; fetch them, or name the folder of the images"
        )


class _AnnotationReader:
    """Collects the rows of a file; images and categories may come behind the objects that name them.

    Args:
        path: the file, for messages.
        image_folder: folder that ``file_name`` is relative to.
    """

    def __init__(self, path: Path, image_folder: Path) -> None:
        self.path, self.image_folder = path, image_folder
        self.images: dict[int, DetectionImage] = {}
        self.categories: dict[int, Category] = {}
        self.objects: list[_Object] = []
        # masks of images that come later in the file wait for their size; as Python objects they take four times the
        # memory, so others are converted at once
        self.raw_masks: dict[int, Any] = {}
        self.counts: Counter[str] = Counter()
        self._names: dict[str, int] = {}
        self._category_names: set[str] = set()

    def add_image(self, row: dict[str, Any]) -> None:
        """Add a row of the table ``images``."""
        number = self._read_id(row, "id", "an image")
        where = f"{self.path}: image {number}"
        if number in self.images:
            raise DataError(f"{where} is listed twice; give each image an id of its own")
        name = row.get("file_name")
        if not isinstance(name, str) or not name or len(name) > 4096 or "\0" in name:
            raise DataError(f"{where} has the file_name {shorten_value(name)}; write the name of its file")
        # a file written on Windows may have backslashes
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts:
            raise DataError(
                f"{where} has the file_name {shorten_value(name)}, which leads out of the folder of the images; "
                "write it relative to that folder"
            )
        if self._names.setdefault(str(parts), number) != number:
            raise DataError(f"{where} has the file_name {shorten_value(name)} of another image; list each file once")
        sides = [row.get(key) for key in ("height", "width")]
        if not all(isinstance(each, int) and not isinstance(each, bool) and 0 < each <= MAX_SIDE for each in sides):
            raise DataError(f"{where} has the height and width {shorten_value(sides)}; write its pixels")
        height, width = (int(str(each)) for each in sides)
        self.images[number] = DetectionImage(number, str(parts), self.image_folder / parts, height, width)

    def add_category(self, row: dict[str, Any]) -> None:
        """Add a row of the table ``categories``."""
        number = self._read_id(row, "id", "a category")
        name = row.get("name")
        if not isinstance(name, str) or not name.strip() or len(name) > 1000:
            raise DataError(f"{self.path}: category {number} has the name {shorten_value(name)}; write a text")
        if number in self.categories:
            raise DataError(f"{self.path}: category {number} is listed twice; give each category an id of its own")
        if name in self._category_names:
            raise DataError(f"{self.path}: two categories have the name {shorten_value(name)}; join or rename them")
        self._category_names.add(name)
        self.categories[number] = Category(number, name)

    def add_object(self, row: dict[str, Any]) -> None:
        """Add a row of the table ``annotations``."""
        number = self._read_id(row, "id", "an annotation")
        where = f"{self.path}: annotation {number}"
        if "caption" in row:
            raise DataError(f"{self.path} has captions and no boxes; name the file of instances (instances_*.json)")
        if "score" in row:
            raise DataError(f"{where} has a score, so these are detections and not the truth; name the truth's file")
        image, category = self._read_id(row, "image_id", where), self._read_id(row, "category_id", where)
        raw_mask = row.get("segmentation")
        box = self._read_box(row.get("bbox"), where) if row.get("bbox") not in (None, []) else []
        if not box and raw_mask in (None, []):
            raise DataError(f"{where} has neither a bbox nor a segmentation; remove it, or write one of them")
        area = row.get("area")
        if area is not None and (not _is_number(area) or area < 0):
            raise DataError(f"{where} has the area {shorten_value(area)}; write its square pixels")
        crowd = row.get("iscrowd")
        if crowd not in (None, 0, 1):
            raise DataError(f"{where} has iscrowd {shorten_value(crowd)}; write 0 or 1")
        self.counts["objects without iscrowd, which count as single ones"] += crowd is None
        self.counts["objects with the field ignore, which is not used, as in pycocotools"] += bool(row.get("ignore"))
        mask = None
        if raw_mask not in (None, []):
            if image in self.images:
                mask = self._convert_mask(raw_mask, image, number)
            else:
                self.raw_masks[len(self.objects)] = raw_mask
        self.objects.append(
            _Object(image, number, category, box, math.nan if area is None else float(area), bool(crowd), mask)
        )

    def _convert_mask(self, value: Any, image: int, number: int) -> InstanceMask | None:
        """Convert the mask of an object of a known image."""
        try:
            return parse_mask(value, self.images[image].height, self.images[image].width)
        except ValueError as error:
            raise DataError(f"{self.path}: annotation {number} {error}; correct it") from error

    def finish(self) -> AnnotationFile:
        """Join images, categories and objects."""
        for table, rows in (("images", self.images), ("categories", self.categories)):
            if not rows:
                raise DataError(
                    f"{self.path} lists no {table}; an annotation file of COCO has images, annotations and categories"
                )
        images = [self.images[number] for number in sorted(self.images)]
        categories = [self.categories[number] for number in sorted(self.categories)]
        self._require_known_ids()
        objects = [self._complete_object(row, each) for row, each in enumerate(self.objects)]
        self._require_boxes_inside(objects)
        places = {image.id: index for index, image in enumerate(images)}
        labels = {category.id: index for index, category in enumerate(categories)}
        objects.sort(key=lambda each: places[each.image])  # stable: the order of the file within an image
        with_mask = sum(each.mask is not None for each in objects)
        if 0 < with_mask < len(objects):
            self.counts["objects without a mask, so that boxes alone are used"] = len(objects) - with_mask
        masks = [each.mask for each in objects if each.mask is not None]
        # pycocotools takes the id 0 for "not matched", so that such an object could never be found
        shift = int(any(each.id == 0 for each in objects))
        notes = [f"{count:,} {text}" for text, count in sorted(self.counts.items()) if count]
        if shift:
            notes.append("annotation ids begin at 0, which the COCO metric takes for no object; counted from 1 here")
        columns = Annotations(
            images=np.array([places[each.image] for each in objects], np.int64),
            ids=np.array([each.id + shift for each in objects], np.int64),
            labels=np.array([labels[each.category] for each in objects], np.int64),
            boxes=np.array([each.box for each in objects], np.float64).reshape(-1, 4),
            areas=np.array([each.area for each in objects], np.float64),
            is_crowd=np.array([each.is_crowd for each in objects], np.bool_),
            masks=masks if len(masks) == len(objects) else None,
        )
        if note := describe_wrong_areas(columns):
            notes.append(note)
        if repeated := count_repeated(columns):
            notes.append(f"{repeated:,} objects are there twice (same image, category and box): one of them is missed")
        return AnnotationFile(DetectionSplit(images, columns), categories, tuple(notes))

    def _require_known_ids(self) -> None:
        seen: set[int] = set()
        for each in self.objects:
            where = f"{self.path}: annotation {each.id}"
            if each.id in seen:
                raise DataError(f"{where} is there twice; give each annotation an id of its own")
            seen.add(each.id)
            if each.image not in self.images:
                raise DataError(
                    f"{where} is of image {each.image}, which is not in images; add it, or remove the object"
                )
            if each.category not in self.categories:
                listed = sorted(self.categories)
                raise DataError(
                    f"{where} has the category {each.category}, which is not in categories (ids {listed[0]} to "
                    f"{listed[-1]}); add it, or correct the number"
                )

    def _complete_object(self, row: int, found: _Object) -> _Object:
        """Convert the mask of an object now that its image is known, and compute what the file leaves out."""
        image, mask, box, area = self.images[found.image], found.mask, found.box, found.area
        if row in self.raw_masks:
            mask = self._convert_mask(self.raw_masks.pop(row), found.image, found.id)
        if mask is not None and (not box or math.isnan(area)):
            pixels, around = measure_mask(mask, image.height, image.width)
            self.counts["objects without bbox, computed from their masks"] += not box
            self.counts["objects without area, computed from their masks"] += math.isnan(area)
            box, area = box or around, pixels if math.isnan(area) else area
        elif math.isnan(area):
            self.counts["objects without area, for which that of the box counts"] += 1
            area = box[2] * box[3]
        return found._replace(mask=mask, box=box, area=area)

    def _require_boxes_inside(self, objects: Sequence[_Object]) -> None:
        """Refuse boxes that lie outside of their image, and those that look like corners; count the rest."""
        outside, first = 0, None
        for each in objects:
            image, (left, top, width, height) = self.images[each.image], each.box
            self.counts["objects whose box has no area: not trained on"] += not (width > 0 and height > 0)
            if left >= image.width or top >= image.height or left + width < 0 or top + height < 0:
                raise DataError(
                    f"{self.path}: annotation {each.id} has the bbox {each.box}, which lies outside of its image of "
                    f"{image.width} x {image.height} px; a bbox is left, top, width, height in pixels of this image"
                )
            over = max(-left, -top, left + width - image.width, top + height - image.height)
            if over > _MAX_OUTSIDE:
                outside, first = outside + 1, first or each
        if first is not None and outside > max(1, _CORNER_SHARE * len(objects)):
            raise DataError(
                f"{self.path}: {outside:,} of {len(objects):,} boxes reach outside of their image, the first that of "
                f"annotation {first.id}, {first.box}; a bbox is left, top, width, height, and these look like corners "
                "(left, top, right, bottom) or pixels of another size"
            )
        self.counts[f"objects whose box reaches more than {_MAX_OUTSIDE:g} px outside of the image"] = outside

    def _read_id(self, row: dict[str, Any], key: str, where: str) -> int:
        value = row.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_ID:
            place = where if str(self.path) in where else f"{self.path}: {where}"
            is_whole = isinstance(value, str) and value.strip().isdecimal()
            is_whole |= isinstance(value, float) and value.is_integer() and value >= 0
            kind = "text" if isinstance(value, str) else "fraction"
            hint = f" (a whole number written as a {kind}: convert all ids with int)" if is_whole else ""
            raise DataError(f"{place} has the {key} {shorten_value(value)}{hint}; write a whole number from 0 on")
        return value

    def _read_box(self, value: Any, where: str) -> list[float]:
        if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
            raise DataError(f"{where} has the bbox {shorten_value(value)}; write left, top, width and height in pixels")
        if value[2] < 0 or value[3] < 0:
            raise DataError(
                f"{where} has the bbox {shorten_value(value)} with a negative width or height; a bbox is left, top, "
                "width, height, not two corners"
            )
        return [float(each) for each in value]


def describe_wrong_areas(annotations: Annotations) -> str | None:
    """Describe areas that cannot be pixels of the objects: AP by size goes by them, and by nothing else.

    Args:
        annotations: of a split.
    """
    covered = annotations.boxes[:, 2:].prod(1)
    chosen = ~annotations.is_crowd & (covered > 0)
    if chosen.sum() < 5:
        return None
    # a mask fills a part of its box; the median is 0.6 in COCO, and that of thin objects is not below a tenth
    ratio = float(np.median(annotations.areas[chosen] / covered[chosen]))
    if _AREA_SHARES[0] <= ratio <= _AREA_SHARES[1]:
        return None
    return (
        f"the field area is {ratio:.2g} times the area of the box for half of the objects, and cannot be their square "
        "pixels; AP by size goes by it and is wrong (AP itself is not)"
    )


def count_repeated(annotations: Annotations) -> int:
    """Return how many objects have the image, the category, the box and the kind of another one.

    Args:
        annotations: of a split.
    """
    columns = (annotations.images, annotations.labels, annotations.is_crowd, annotations.boxes)
    rows = np.column_stack(columns).astype(np.float64)
    return len(rows) - len(np.unique(rows, axis=0))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
