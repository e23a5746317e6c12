"""Read Pascal VOC's annotation files: one xml file per image. Imports no torch.

VOC counts pixels from 1, and ``xmax`` is the last pixel of the object: ``xmin`` 1 and ``xmax`` 10 are the 10 pixels at
the left border. Objects marked ``difficult`` become crowds: they are not trained on, are not missed, and a detection of
one is not wrong.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from detection.data.ground_truth import Category
from detection.data.own_folder.found_images import (
    FoundFolder,
    FoundImage,
    FoundObject,
    find_path_split,
    number_images,
    read_upright_size,
    require_box_inside,
)
from engine.data.decode import open_header
from engine.data.image_formats import is_image_name
from engine.data.tree_files import TreeFiles
from foundation.display_text import shorten_value
from foundation.errors import DataError
from foundation.plural import format_count
from foundation.storage.regular_files import read_regular

_MAX_XML_BYTES = 10 * 10**6
_LISTS = {"train": "train", "val": "val", "test": "test", "trainval": "train"}


class _VocFile(NamedTuple):
    """Height and width that a file states (``None``: not), and name, box and difficulty of each object."""

    size: tuple[int, int] | None
    rows: Sequence[tuple[str, list[float], bool]]


def is_voc_tree(tree: TreeFiles) -> bool:
    """Return whether a tree has xml files."""
    return any(path.endswith(".xml") for path in tree.files)


def read_voc_tree(tree: TreeFiles) -> FoundFolder:
    """Read images and annotations.

    Categories are the names that occur, in alphabetical order, with ids from 1.

    Args:
        tree: the files.

    Raises:
        DataError: an image or annotation is missing, or a number cannot be meant; names the file.
    """
    pictures = [path for path in tree.files if is_image_name(path) and not _is_label_image(path)]
    by_stem: dict[str, str] = {}
    for path in pictures:
        if other := by_stem.get(PurePosixPath(path).stem):
            raise DataError(f"{tree.root / path} and {other} have the same name, and VOC's annotations go by names")
        by_stem[PurePosixPath(path).stem] = path
    lists, used = _read_lists(tree)
    parsed = {path: _parse_xml(tree, path) for path in tree.files if path.endswith(".xml")}
    # no file lists the names, so their order must not hang on that of the files
    names = sorted({name for each in parsed.values() for name, *_ in each.rows})
    if not names:
        raise DataError(f"no object in the {len(parsed):,} xml files under {tree.root}; add annotations")
    images, difficult = [], 0
    for path, (stated, rows) in parsed.items():
        stem = PurePosixPath(path).stem
        picture = by_stem.get(stem)
        if picture is None:
            raise DataError(f"{tree.root / path} has no image {stem}.*; fetch the image, or remove the file")
        used |= {path, picture}
        split = lists.get(stem) if lists else find_path_split(path) or find_path_split(picture)
        if lists and split is None:
            continue  # VOC ships images of other years and uses that are in no list
        height, width = _choose_size(tree.root / picture, stated, tree.root / path)
        for _, box, _ in rows:
            require_box_inside(box, height, width, f"{tree.root / path}")
        objects = [FoundObject(names.index(name), box, is_hard) for name, box, is_hard in rows]
        difficult += sum(each.is_crowd for each in objects)
        images.append(FoundImage(picture, split, height, width, objects))
    used |= {path for path in tree.files if is_image_name(path) and _is_label_image(path)}
    what = format_count(len(names), "name")
    notes = [f"VOC annotations, {what} in alphabetical order; pixels are counted from 1, ends included"]
    if difficult:
        notes.append(f"{difficult:,} difficult objects count as crowds: not trained on, and neither missed nor wrong")
    if unlabeled := len(set(by_stem.values()) - used):
        notes.append(f"{unlabeled:,} images have no xml file and are not used")
        used |= set(by_stem.values())
    categories = [Category(number, name) for number, name in enumerate(names, start=1)]
    return FoundFolder(number_images(tree.root, images), categories, frozenset(used), tuple(notes))


def _choose_size(picture: Path, stated: tuple[int, int] | None, file: Path) -> tuple[int, int]:
    """Return height and width of an image as it was annotated: upright, or as it is stored.

    Args:
        picture: the image.
        stated: height and width that its annotations state.
        file: its annotations, for the message.

    Raises:
        DataError: the annotations state another size, so that their boxes are of another image.
    """
    upright = read_upright_size(picture)
    if stated is None or stated == upright:
        return upright
    with open_header(picture) as header:
        # annotated by a tool that does not read the orientation tag
        if header.size == stated[::-1]:
            return stated
    raise DataError(
        f"{file} states {stated[1]} x {stated[0]} px (width, height), and {picture} has {upright[1]} x {upright[0]}; "
        "its boxes would be wrong, so fetch the image that was annotated, or correct the file"
    )


def _is_label_image(path: str) -> bool:
    return any(part.startswith("Segmentation") for part in PurePosixPath(path).parts)


def _read_lists(tree: TreeFiles) -> tuple[Mapping[str, str], set[str]]:
    """Return the split of each name that ImageSets/Main lists, and the list files; ``trainval`` only without train."""
    found = {
        PurePosixPath(path).stem: path
        for path in tree.files
        if path.endswith(".txt") and PurePosixPath(path).parts[-3:-1] == ("ImageSets", "Main")
    }
    used = {path for path in tree.files if "ImageSets" in PurePosixPath(path).parts}
    if "train" in found:
        found.pop("trainval", None)
    splits: dict[str, str] = {}
    for stem, path in found.items():
        if stem not in _LISTS:
            continue  # the lists of single classes
        for line in read_regular(tree.root / path, _MAX_XML_BYTES).decode("utf-8-sig", "replace").split("\n"):
            if line.strip():
                name = line.split()[0]
                if splits.setdefault(name, _LISTS[stem]) != _LISTS[stem]:
                    raise DataError(f"{tree.root / path} lists {name}, which is in {splits[name]} too; keep one")
    return splits, used


def _read_size(top: ElementTree.Element) -> tuple[int, int] | None:
    """Return the height and width that a file states; ``None`` without them, or for the zeros that some tools write."""
    words = [(top.findtext(f"size/{key}") or "").strip() for key in ("height", "width")]
    if not all(word.isdecimal() and len(word) < 10 and int(word) for word in words):
        return None
    return int(words[0]), int(words[1])


def _parse_xml(tree: TreeFiles, path: str) -> _VocFile:
    """Read a file; boxes are left, top, width and height in pixels."""
    file = tree.root / path
    try:
        data = read_regular(file, _MAX_XML_BYTES)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror or error}); write it again") from error
    # entities of a document type can fill the memory or read other files; VOC's files have none
    # in UTF-16 they would not be seen
    if b"\0" in data:
        raise DataError(f"{file} has zero bytes; save it as UTF-8")
    if b"<!" in data.replace(b"<!--", b""):
        raise DataError(f"{file} has a document type, which VOC's files do not have; remove it")
    try:
        top = ElementTree.fromstring(data)  # noqa: S314 - see above
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{file} is not valid xml ({shorten_value(str(error))}); write it again") from error
    rows = []
    for element in top.iter("object"):
        name, box = (element.findtext("name") or "").strip(), element.find("bndbox")
        if not name or box is None:
            raise DataError(f"{file} has an object without name or bndbox; correct it")
        try:
            left, top_, right, bottom = (float(box.findtext(key, "")) for key in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError as error:
            raise DataError(f"{file} has a bndbox of {name} without four numbers; correct it") from error
        if not (right >= left and bottom >= top_):
            raise DataError(f"{file} has a bndbox of {name} whose maximum is below its minimum; correct it")
        is_difficult = (element.findtext("difficult") or "0").strip() == "1"
        rows.append((name, [left - 1, top_ - 1, right - left + 1, bottom - top_ + 1], is_difficult))
    return _VocFile(_read_size(top), rows)
