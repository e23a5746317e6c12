"""Read YOLO's trees: ``images/train/a.jpg`` beside ``labels/train/a.txt``, and a list of class names.

A line of a label file is ``class x y width height`` (center and size as fractions of the image) or ``class x1 y1 x2 y2
x3 y3 ...`` (an outline). An image without a label file has no objects. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from detection.data.ground_truth import Category
from detection.data.instance_masks import bound_polygons
from detection.data.own_folder.found_images import (
    FoundFolder,
    FoundImage,
    FoundObject,
    find_path_split,
    number_images,
    read_upright_size,
    require_box_inside,
    require_known_label,
)
from engine.data.image_formats import is_image_name
from engine.data.tree_files import TreeFiles
from foundation.display_text import shorten_value
from foundation.errors import DataError
from foundation.plural import format_count
from foundation.storage.regular_files import read_regular

_MAX_TEXT_BYTES = 50 * 10**6
_MAX_YAML_BYTES = 10**6  # the YAML reader takes seconds for a megabyte; 20,000 names are half of one
_MAX_YAML_DEPTH = 20  # a data.yaml has two levels, and its authors may keep notes in it
_START_TOKENS = (
    *(yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken),
    *(yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken),
)
_END_TOKENS = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
_NAME_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
_MARGIN = 0.01
"""By how much a fraction may be beyond 0 or 1; exports round."""


def is_yolo_tree(tree: TreeFiles) -> bool:
    """Return whether a tree has labels in YOLO's form: a list of names, or a text file beside or behind an image."""
    texts = {path for path in tree.files if path.endswith(".txt")}
    return any(_name_labels(path) in texts for path in tree.files if is_image_name(path))


def read_yolo_tree(tree: TreeFiles) -> FoundFolder:
    """Read images and labels.

    Args:
        tree: the files.

    Raises:
        DataError: there is no list of names, or a line cannot be meant; names file and line.
    """
    categories, lists = _read_names(tree)
    texts = {path for path in tree.files if path.endswith(".txt")} - set(lists)
    images, used, unlabeled = [], set(lists), 0
    for path in filter(is_image_name, tree.files):
        labels = _name_labels(path)
        height, width = read_upright_size(tree.root / path)
        objects: list[FoundObject] = []
        if labels in texts:
            # the size is needed at once: labels are fractions of it
            objects = _read_objects(tree.root / labels, height, width, categories)
            used.add(labels)
        else:
            unlabeled += 1
        used.add(path)
        images.append(FoundImage(path, find_path_split(path), height, width, objects))
    if lonely := sorted(text for text in texts - used if "labels" in PurePosixPath(text).parts):
        raise DataError(f"{tree.root / lonely[0]} has no image of that name; fetch the image, or remove the file")
    # what Ultralytics writes beside label files to find them faster
    used |= {path for path in tree.files if path.endswith(".cache")}
    notes = [f"YOLO labels, {format_count(len(categories), 'name')} of {lists[0]}; class 0 has the id 1"]
    if unlabeled:
        notes.append(f"{unlabeled:,} images without a label file have no objects, as YOLO reads them")
    return FoundFolder(number_images(tree.root, images), categories, frozenset(used), tuple(notes))


def _name_labels(path: str) -> str:
    """Return the path of an image's label file: the last folder ``images`` becomes ``labels``."""
    parts = list(PurePosixPath(path).with_suffix(".txt").parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return "/".join(parts)


def _read_names(tree: TreeFiles) -> tuple[list[Category], list[str]]:
    """Return the categories, and the files that name them; more than one must say the same."""
    found: dict[str, list[str]] = {}
    for path in tree.files:
        name = PurePosixPath(path).name.lower()
        if name in _NAME_LISTS:
            lines = _read_text(tree.root / path).splitlines()
            found[path] = [line.strip() for line in lines if line.strip()]
        elif name.endswith((".yaml", ".yml")) and (names := _read_yaml_names(tree.root / path)) is not None:
            found[path] = names
    if not found:
        raise DataError(
            f"no names of classes under {tree.root}: looked for data.yaml with names, and {', '.join(_NAME_LISTS)}; "
            "write a data.yaml"
        )
    first, names = next(iter(found.items()))
    for path, others in found.items():
        if others != names:
            raise DataError(f"{tree.root / path} and {first} name other classes; keep one of them")
    if not names or len(set(names)) != len(names):
        raise DataError(f"{tree.root / first} names no class, or one twice; give each class a name of its own")
    return [Category(number, name) for number, name in enumerate(names, start=1)], list(found)


def _read_text(path: Path, limit: int = _MAX_TEXT_BYTES) -> str:
    try:
        return read_regular(path, limit).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); write it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file (UTF-8); write it again") from error


def _require_plain_yaml(path: Path, text: str) -> None:
    """Refuse what makes a reader of YAML slow without end, before it builds anything.

    Nine lines of references to references stand for billions of names, and the time for a list in a list in a list
    grows with the square of the depth.

    Args:
        path: the file, for messages.
        text: its content.

    Raises:
        DataError: the text has references, or values nested deeper than any list of names.
        yaml.YAMLError: it is not YAML.
    """
    depth = 0
    for token in yaml.scan(text):  # one after the other, so that the rest of a deep text is never looked at
        depth += isinstance(token, _START_TOKENS) - isinstance(token, _END_TOKENS)
        if isinstance(token, yaml.AliasToken):
            raise DataError(f"{path} has references (*name), which names of classes do not need; write them out")
        if depth > _MAX_YAML_DEPTH:
            raise DataError(f"{path} has lists in lists in lists; write the names as one list")


def _read_yaml_names(path: Path) -> list[str] | None:
    """Return the names of a data.yaml, a list or a table by number; ``None`` if the file has none."""
    text = _read_text(path, _MAX_YAML_BYTES)
    try:
        _require_plain_yaml(path, text)
        content: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path} is not valid YAML; correct it, or leave it out with --exclude") from error
    names = content.get("names") if isinstance(content, dict) else None
    if names is None:
        return None
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [names.get(number, names.get(str(number))) for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(each, str | int) for each in names):
        raise DataError(f"{path} has the names {shorten_value(names)}; write a list, or a table with numbers from 0")
    return [str(each) for each in names]


def _read_objects(path: Path, height: int, width: int, categories: Sequence[Category]) -> list[FoundObject]:
    objects = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            label, *values = (float(word) for word in line.split())
        except ValueError as error:
            raise DataError(f"{where} is {shorten_value(line)}; write numbers: class x y width height") from error
        if not label.is_integer():  # nor has NaN or infinity an int
            raise DataError(f"{where} has the class {label:g}; write a whole number")
        require_known_label(int(label), categories, where)
        objects.append(_make_object(int(label), values, height, width, where))
    return objects


def _make_object(label: int, values: Sequence[float], height: int, width: int, where: str) -> FoundObject:
    if len(values) == 5:
        raise DataError(f"{where} has a sixth number, so these are detections with a confidence and not the truth")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise DataError(
            f"{where} has {len(values)} numbers behind the class; write x y width height, or an outline of 3 points"
        )
    if not all(-_MARGIN <= value <= 1 + _MARGIN for value in values):
        raise DataError(
            f"{where} has {shorten_value(list(values))}; all numbers are fractions of the image, from 0 to 1, so "
            "divide pixels by width and height"
        )
    if len(values) == 4:
        x, y, w, h = values
        box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
        require_box_inside(box, height, width, where)
        return FoundObject(label, box)
    outline = np.array(values, np.float64).reshape(-1, 2) * [width, height]
    return FoundObject(label, bound_polygons([outline]), mask=[outline])
