"""Make ``mini_coco``: cut-outs of real photographs in COCO's layout, composed on this machine.

A scene is a background with pieces of photographs that scikit-image and scikit-learn ship (a cat, a flower, brick, a
cup of coffee, a retina, a stained tissue), each cut out along a polygon. Training pieces come from two opposite
quarters of each photograph and validation pieces from the other two, so no pixel of an object is in both splits.

The annotations have what makes COCO difficult to read: ids with gaps, a category that never occurs in validation,
polygons as well as run lengths, a crowd, images without objects and with more than 100, objects cut off by the border,
and all three bins of area with both of their limits (1,024 and 9,216 square pixels).

``mini_shapes`` (``detection.data.mini_shapes``) is composed in the same way of other objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from engine.data.photographs import TEST_PHOTOS, TRAIN_PHOTOS, load_photos
from engine.pictures.image_files import write_image
from foundation.storage.file_locks import take_file_lock
from foundation.storage.leftovers import open_partial_folder, remove_owned_leftovers

MINI_COCO_VERSION = 2
"""Raise this whenever the files change: it seeds the scenes, and every version has its own folder in the cache."""

CATEGORIES = ((1, "cat"), (2, "flower"), (4, "brick"), (7, "coffee"), (8, "retina"), (11, "tissue"), (13, "page"))
"""Id and name of each category, with gaps as in COCO. The last one never occurs in validation."""

_PHOTO_FILES = ("chelsea.png", "flower.jpg", "brick.png", "coffee.png", "retina.jpg", "ihc.png", "page.png")
_BACKGROUND_FILE = "moon.png"
_SIZES = ((256, 320), (320, 256), (288, 288))
"""Height and width of scenes, pixels."""

ImageArray = NDArray[np.uint8]
Outline = NDArray[np.float64]
Parts = Sequence[Sequence[ImageArray]]


class Miniature(NamedTuple):
    """A set that is composed of photographs.

    Attributes:
        name: of the set and of its folder in the cache.
        version: of its files.
        split_sizes: images of training and of validation.
        categories: id and name of each category; the last one never occurs in validation.
        photographs: file names, in the order of the parts that the two functions below get.
        special_labels: categories of the objects in the special scenes, which are rectangles.
        crowd_label: category of the crowd.
        draw_outline: of a category (its index), round a center, with a side in pixels.
        choose_texture: a piece of a photograph for an object of a category.
        choose_background: a piece of a photograph for a scene.
    """

    name: str
    version: int
    split_sizes: tuple[int, int]
    categories: tuple[tuple[int, str], ...]
    photographs: tuple[str, ...]
    special_labels: tuple[int, int, int, int]
    crowd_label: int
    draw_outline: Callable[[int, NDArray[np.float64], float, np.random.Generator], Outline]
    choose_texture: Callable[[Parts, int, np.random.Generator], ImageArray]
    choose_background: Callable[[Parts, np.random.Generator], ImageArray]


class _Piece(NamedTuple):
    """An object before it is pasted: the index of its category, and its outline, (points, 2), x and y in pixels."""

    label: int
    outline: Outline


def make_mini_coco(cache: Path) -> Path:
    """Return the folder that holds ``annotations``, ``train2017`` and ``val2017``; the first call makes it.

    Args:
        cache: the cache folder.

    Raises:
        DataError: a package lacks a photograph that it should ship.
        StorageError: the cache folder cannot be written.
    """
    return make_miniature(cache, _MINI_COCO)


def make_miniature(cache: Path, miniature: Miniature) -> Path:
    """Return the folder of a miniature in COCO's layout; the first call makes it.

    Args:
        cache: the cache folder.
        miniature: which.

    Raises:
        DataError: a package lacks a photograph that it should ship.
        StorageError: the cache folder cannot be written.
    """
    home = cache / f"{miniature.name}-{miniature.version}"
    if (home / "coco").is_dir():
        return home / "coco"
    home.mkdir(parents=True, exist_ok=True)
    with take_file_lock(home / ".lock"):  # several runs may start at once
        # look again: another process may have made the data while this one waited for the lock
        if not (home / "coco").is_dir():
            remove_owned_leftovers(home)
            with open_partial_folder(home / "coco") as work:
                _write_dataset(work, miniature)
                # renaming a folder is atomic, so a reader sees either no data or all of them
                work.rename(home / "coco")
    return home / "coco"


def _write_dataset(folder: Path, miniature: Miniature) -> None:
    from engine.seeding import derive_seed  # imports torch, which a set that is already there does not need

    places = {**TRAIN_PHOTOS, **TEST_PHOTOS}
    photos = [load_photos({name: places[name]})[0] for name in miniature.photographs]
    (folder / "annotations").mkdir(parents=True)
    for index, (split, count) in enumerate(zip(("train2017", "val2017"), miniature.split_sizes, strict=True)):
        (folder / split).mkdir()
        parts = [_take_quarters(photo, split == "train2017") for photo in photos]
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        for number in range(count):
            rng = np.random.Generator(np.random.PCG64(derive_seed(miniature.version, index, number)))
            scene, found = compose_scene(miniature, parts, number, split == "train2017", rng)
            # ids with gaps; those of the two splits never agree
            image_id = 7 * number + 3 + 2 * index
            name = f"{image_id:012d}.jpg"
            height, width = scene.shape[:2]
            images.append({"id": image_id, "file_name": name, "height": height, "width": width})
            # the ids of annotations go through the whole split
            first = 1_000 + 2 * len(objects) + index
            objects += [{"id": first + 2 * place, "image_id": image_id, **each} for place, each in enumerate(found)]
            write_image(folder / split / name, scene[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        content = {
            "info": {"description": f"{miniature.name} {miniature.version}"},
            "images": images,
            "annotations": objects,
            "categories": [
                {"id": number, "name": name, "supercategory": "object"} for number, name in miniature.categories
            ],
        }
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def _take_quarters(photo: ImageArray, for_training: bool) -> list[ImageArray]:
    """Return two opposite quarters of a photograph, so that each split sees its upper and its lower half."""
    row, column = photo.shape[0] // 2, photo.shape[1] // 2
    if for_training:
        return [photo[:row, :column], photo[row:, column:]]
    return [photo[:row, column:], photo[row:, :column]]


def compose_scene(
    miniature: Miniature, parts: Parts, number: int, for_training: bool, rng: np.random.Generator
) -> tuple[ImageArray, list[dict[str, Any]]]:
    """Compose a scene and describe its objects.

    Args:
        miniature: the set.
        parts: pieces of each photograph, in the order of the set's photographs.
        number: of the scene within its split; the first ones are the special cases.
        for_training: whether the last category may occur.
        rng: random generator.

    Returns:
        The image (height, width, 3), uint8 RGB, and its objects without ids, as COCO describes them.
    """
    height, width = _SIZES[number % len(_SIZES)]
    scene = _cover_area(miniature.choose_background(parts, rng), height, width, rng)
    # smooth, so that sharp texture is an object's
    scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), 2), np.uint8)
    pieces = _plan_pieces(miniature, number, (height, width), for_training, rng)
    owner = np.full((height, width), -1, np.int64)  # which piece is visible at each pixel
    for index, piece in enumerate(pieces):
        mask = _fill_outline(piece.outline, height, width)
        texture = _cover_area(miniature.choose_texture(parts, piece.label, rng), height, width, rng)
        scene[mask], owner[mask] = texture[mask], index
    objects = [
        _describe_piece(miniature.categories[piece.label][0], piece.outline, owner == index)
        for index, piece in enumerate(pieces)
    ]
    if number == 4:
        objects.append(_paste_crowd(miniature, scene, parts, rng))
    return scene, [each for each in objects if each is not None]


def _plan_pieces(
    miniature: Miniature, number: int, size: tuple[int, int], for_training: bool, rng: np.random.Generator
) -> list[_Piece]:
    """Choose the objects of a scene; the first scenes of a split are the special cases."""
    height, width = size
    one, two, three, four = miniature.special_labels
    if number == 0:  # an image without objects
        return []
    if number == 1 and not for_training:  # more objects than detections are allowed
        corners = [(12 + 18 * column, 12 + 20 * row) for row in range(11) for column in range(12)]
        inside = [(k, x, y) for k, (x, y) in enumerate(corners) if x < width - 12]
        return [_Piece((one, two)[k % 2], _make_rectangle(x, y, 10, 10)) for k, x, y in inside][:110]
    if number == 2:  # exactly the limits of the bins: 32 x 32 and 96 x 96
        return [_Piece(one, _make_rectangle(20, 24, 32, 32)), _Piece(two, _make_rectangle(120, 100, 96, 96))]
    if number == 3:  # touching three borders
        return [
            _Piece(three, _make_rectangle(0, 0, 60, 80)),
            _Piece(four, _make_rectangle(width - 70, height - 90, 70, 90)),
        ]
    num_classes = len(miniature.categories) if for_training else len(miniature.categories) - 1
    pieces = []
    for _ in range(int(rng.integers(2, 6))):
        side = float(np.exp(rng.uniform(np.log(20), np.log(150))))
        center = rng.uniform([0.1 * width, 0.1 * height], [0.9 * width, 0.9 * height])
        label = int(rng.integers(num_classes))
        pieces.append(_Piece(label, miniature.draw_outline(label, center, side, rng)))
    # large ones first, so that small ones stay visible
    return sorted(pieces, key=lambda each: -float(np.ptp(each.outline, 0).prod()))


def _make_rectangle(left: int, top: int, width: int, height: int) -> NDArray[np.float64]:
    corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    return np.array(corners, np.float64)


def _draw_blob(_label: int, center: NDArray[np.float64], side: float, rng: np.random.Generator) -> Outline:
    """Draw a closed shape: an ellipse-like polygon whose radius varies slowly with the angle."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    waves = [rng.normal(0, 0.15 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4)]
    radius = np.clip(1 + np.sum(waves, 0), 0.5, None) * side / 2
    stretch = np.exp(rng.uniform(-0.4, 0.4))
    points = np.stack([np.cos(angle) * radius * stretch, np.sin(angle) * radius / stretch], 1)
    return np.asarray(np.round(points + center, 2), np.float64)


def _fill_outline(outline: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels of a polygon as pycocotools fills it, so that annotation and image agree."""
    [packed] = coco_mask.frPyObjects([outline.ravel().tolist()], height, width)
    return np.asarray(coco_mask.decode(packed)).astype(bool)


def _cover_area(photo: ImageArray, height: int, width: int, rng: np.random.Generator) -> ImageArray:
    """Return a piece of a photograph at the size of a scene, with random scale, shift and brightness, mirrored beyond
    its border."""
    scale = 0.5 + 0.5 * rng.random()
    shift = [rng.random() * scale * side for side in photo.shape[1::-1]]
    matrix = np.array([[scale, 0, -shift[0]], [0, scale, -shift[1]]])
    photo = np.ascontiguousarray(photo)  # OpenCV takes no view with its channels exchanged
    piece = cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(np.clip(piece * (0.85 + 0.3 * rng.random()), 0, 255), np.uint8)


def _describe_piece(category: int, outline: Outline, visible: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Describe what is visible of a piece; nothing if it is hardly anything.

    The outline describes it where nothing hides a part of it and it lies within the image, run lengths elsewhere.
    """
    height, width = visible.shape
    whole = _fill_outline(outline, height, width)
    pixels = int(visible.sum())
    # nobody could tell what so few pixels are, and no detector could find them
    if pixels < 16:
        return None
    is_inside = bool((outline >= 0).all() and (outline <= [width, height]).all())
    # an outline says nothing of what hides a part of it
    if pixels == whole.sum() and is_inside:
        low, high = outline.min(0), outline.max(0)
        box = [round(float(value), 2) for value in (*low, *(high - low))]
        mask: Any = [outline.ravel().tolist()]
    else:
        packed = coco_mask.encode(np.asfortranarray(visible.astype(np.uint8)))
        box = [float(value) for value in coco_mask.toBbox(packed)]
        mask = {"size": [height, width], "counts": packed["counts"].decode()}
    return {"category_id": category, "bbox": box, "area": pixels, "iscrowd": 0, "segmentation": mask}


def _paste_crowd(miniature: Miniature, scene: ImageArray, parts: Parts, rng: np.random.Generator) -> dict[str, Any]:
    """Paste a heap of small objects, and describe it by one mask of uncompressed run lengths."""
    height, width = scene.shape[:2]
    heap = np.zeros((height, width), bool)
    for _ in range(14):
        center = rng.uniform([width - 90, 20], [width - 20, 90])
        heap |= _fill_outline(miniature.draw_outline(miniature.crowd_label, center, 16, rng), height, width)
    scene[heap] = _cover_area(miniature.choose_texture(parts, miniature.crowd_label, rng), height, width, rng)[heap]
    rows, columns = np.nonzero(heap)
    left, top = int(columns.min()), int(rows.min())
    box = [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
    flat = heap.ravel(order="F").astype(np.int8)  # column by column
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes.tolist(), flat.size]).tolist()
    # the first run counts zeros
    counts = [0, *counts] if flat[0] else counts
    return {
        "category_id": miniature.categories[miniature.crowd_label][0],
        "bbox": [float(value) for value in box],
        "area": int(heap.sum()),
        "iscrowd": 1,
        "segmentation": {"size": [height, width], "counts": counts},
    }


def choose_piece(pieces: Sequence[ImageArray], rng: np.random.Generator) -> ImageArray:
    """Choose one of the pieces of a photograph."""
    return pieces[int(rng.integers(len(pieces)))]


_MINI_COCO = Miniature(
    name="mini_coco",
    version=MINI_COCO_VERSION,
    split_sizes=(48, 64),
    categories=CATEGORIES,
    photographs=(*_PHOTO_FILES, _BACKGROUND_FILE),
    special_labels=(0, 1, 2, 3),
    crowd_label=1,
    draw_outline=_draw_blob,
    choose_texture=lambda parts, label, rng: choose_piece(parts[label], rng),
    choose_background=lambda parts, rng: choose_piece(parts[-1], rng),
)
