"""Make ``mini_coco``: shapes cut out of real photographs, in COCO's layout, composed on this machine.

A scene is a blurred photograph with stars, crosses, arches and other shapes that are cut out of photographs (those that
scikit-image and scikit-learn ship). A category is a shape, and any photograph fills it, with its colors in any order:
where a category had a texture of its own, a random patch embedding told the categories apart, and pretrained weights
were no help. Training scenes take two opposite quarters of each photograph and validation scenes the other two, so no
pixel of an object is in both splits.

The annotations have what makes COCO difficult to read: ids with gaps, a category that never occurs in validation,
polygons as well as run lengths, a crowd, images without objects and with more than 100, objects cut off by the border,
and all three bins of area with both of their limits (1,024 and 9,216 square pixels).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
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

SPLIT_SIZES = {"train2017": 96, "val2017": 64}
"""Images of each split."""

CATEGORIES = ((1, "disc"), (2, "rectangle"), (4, "triangle"), (7, "star"), (8, "cross"), (11, "arch"), (13, "bolt"))
"""Id and name of each category, with gaps as in COCO. The last one never occurs in validation."""

_DISC, _RECTANGLE = 0, 1

_PHOTO_FILES = (
    *("chelsea.png", "flower.jpg", "brick.png", "coffee.png"),
    *("retina.jpg", "ihc.png", "page.png", "moon.png"),
)
_SIZES = ((256, 320), (320, 256), (288, 288))
"""Height and width of scenes, pixels."""

ImageArray = NDArray[np.uint8]


class _Piece(NamedTuple):
    """An object before it is pasted: the index of its category, and its outline, (points, 2), x and y in pixels."""

    label: int
    outline: NDArray[np.float64]


def make_mini_coco(cache: Path) -> Path:
    """Return the folder that holds ``annotations``, ``train2017`` and ``val2017``; the first call makes it.

    Args:
        cache: the cache folder.

    Raises:
        DataError: a package lacks a photograph that it should ship.
        StorageError: the cache folder cannot be written.
    """
    home = cache / f"mini_coco-{MINI_COCO_VERSION}"
    if (home / "coco").is_dir():
        return home / "coco"
    home.mkdir(parents=True, exist_ok=True)
    with take_file_lock(home / ".lock"):  # several runs may start at once
        # look again: another process may have made the data while this one waited for the lock
        if not (home / "coco").is_dir():
            remove_owned_leftovers(home)
            with open_partial_folder(home / "coco") as work:
                _write_dataset(work)
                # renaming a folder is atomic, so a reader sees either no data or all of them
                work.rename(home / "coco")
    return home / "coco"


def _write_dataset(folder: Path) -> None:
    from engine.seeding import derive_seed  # imports torch, which a set that is already there does not need

    places = {**TRAIN_PHOTOS, **TEST_PHOTOS}
    photos = [load_photos({name: places[name]})[0] for name in _PHOTO_FILES]
    (folder / "annotations").mkdir(parents=True)
    for index, (split, count) in enumerate(SPLIT_SIZES.items()):
        (folder / split).mkdir()
        parts = [_take_quarters(photo, split == "train2017") for photo in photos]
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        for number in range(count):
            rng = np.random.Generator(np.random.PCG64(derive_seed(MINI_COCO_VERSION, index, number)))
            scene, found = compose_scene(parts, number, split == "train2017", rng)
            # ids with gaps; those of the two splits never agree
            image_id = 7 * number + 3 + 2 * index
            name = f"{image_id:012d}.jpg"
            height, width = scene.shape[:2]
            images.append({"id": image_id, "file_name": name, "height": height, "width": width})
            # the ids of annotations go through the whole split
            objects += [
                {"id": 1_000 + 2 * (len(objects) + k) + index, "image_id": image_id, **each}
                for k, each in enumerate(found)
            ]
            write_image(folder / split / name, scene[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        content = {
            "info": {"description": f"mini_coco {MINI_COCO_VERSION}"},
            "images": images,
            "annotations": objects,
            "categories": [{"id": number, "name": name, "supercategory": "shape"} for number, name in CATEGORIES],
        }
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def _take_quarters(photo: ImageArray, for_training: bool) -> list[ImageArray]:
    """Return two opposite quarters of a photograph, so that each split sees its upper and its lower half."""
    row, column = photo.shape[0] // 2, photo.shape[1] // 2
    if for_training:
        return [photo[:row, :column], photo[row:, column:]]
    return [photo[:row, column:], photo[row:, :column]]


def compose_scene(
    parts: Sequence[Sequence[ImageArray]], number: int, for_training: bool, rng: np.random.Generator
) -> tuple[ImageArray, list[dict[str, Any]]]:
    """Compose a scene and describe its objects.

    Args:
        parts: pieces of each photograph.
        number: of the scene within its split; the first ones are the special cases.
        for_training: whether the last category may occur.
        rng: random generator.

    Returns:
        The image (height, width, 3), uint8 RGB, and its objects without ids, as COCO describes them.
    """
    height, width = _SIZES[number % len(_SIZES)]
    scene = _cover_area(_choose_piece(parts, rng), height, width, rng)
    # smooth, so that sharp texture is an object's
    scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), 2), np.uint8)
    num_classes = len(CATEGORIES) if for_training else len(CATEGORIES) - 1
    pieces = _plan_pieces(number, (height, width), num_classes, for_training, rng)
    owner = np.full((height, width), -1, np.int64)  # which piece is visible at each pixel
    for index, piece in enumerate(pieces):
        mask = _fill_outline(piece.outline, height, width)
        texture = _cover_area(_choose_piece(parts, rng), height, width, rng)
        scene[mask], owner[mask] = texture[mask], index
    objects = [_describe_piece(piece, owner == index, height, width) for index, piece in enumerate(pieces)]
    if number == 4:
        objects.append(_paste_crowd(scene, parts, height, width, rng))
    return scene, [each for each in objects if each is not None]


def _plan_pieces(
    number: int, size: tuple[int, int], num_classes: int, for_training: bool, rng: np.random.Generator
) -> list[_Piece]:
    """Choose the objects of a scene; the first scenes of a split are the special cases."""
    height, width = size
    if number == 0:  # an image without objects
        return []
    if number == 1 and not for_training:  # more objects than detections are allowed
        corners = [(12 + 18 * column, 12 + 20 * row) for row in range(11) for column in range(12)]
        return [_Piece(_RECTANGLE, _make_rectangle(x, y, 10, 10)) for x, y in corners if x < width - 12][:110]
    if number == 2:  # exactly the limits of the bins: 32 x 32 and 96 x 96
        return [_Piece(_RECTANGLE, _make_rectangle(*each)) for each in ((20, 24, 32, 32), (120, 100, 96, 96))]
    if number == 3:  # touching three borders
        corner = (width - 70, height - 90, 70, 90)
        return [_Piece(_RECTANGLE, _make_rectangle(*each)) for each in ((0, 0, 60, 80), corner)]
    pieces = []
    for _ in range(int(rng.integers(2, 6))):
        side = float(np.exp(rng.uniform(np.log(20), np.log(150))))
        center = rng.uniform([0.1 * width, 0.1 * height], [0.9 * width, 0.9 * height])
        label = int(rng.integers(num_classes))
        pieces.append(_Piece(label, _draw_outline(label, center, side, rng)))
    # large ones first, so that small ones stay visible
    return sorted(pieces, key=lambda each: -float(np.ptp(each.outline, 0).prod()))


def _make_rectangle(left: int, top: int, width: int, height: int) -> NDArray[np.float64]:
    corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    return np.array(corners, np.float64)


def _draw_outline(
    label: int, center: NDArray[np.float64], side: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the shape of a category about ``side`` pixels wide, stretched and turned by up to 17 degrees."""
    stretch = np.exp(rng.uniform(-0.3, 0.3))
    turn = rng.uniform(-0.3, 0.3)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = _SHAPES[label] * [stretch, 1 / stretch] @ rotation * side / 2
    return np.asarray(np.round(points + center, 2), np.float64)


def _make_shapes() -> list[NDArray[np.float64]]:
    """Return the outline of each category, (points, 2), x to the right and y down, within about -1 to 1."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    tip = np.pi * np.arange(10) / 5
    radius = np.where(np.arange(10) % 2, 0.45, 1.15)
    arm = 0.36
    # the top of an arm and the corner to the next one, turned by 0, 90, 180 and 270 degrees
    corner = np.array([(-arm, -1), (arm, -1), (arm, -arm)])
    quarters = [np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), k) for k in range(4)]
    span = np.linspace(-2.2, 2.2, 24)
    inner = 0.75 * np.stack([np.sin(0.8 * span[::-1]), 0.6 - np.cos(0.8 * span[::-1])], 1)
    return [
        np.stack([np.cos(angle), np.sin(angle)], 1),
        np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64),
        np.array([(0, -1.1), (1.05, 0.8), (-1.05, 0.8)]),
        np.stack([radius * np.sin(tip), -radius * np.cos(tip)], 1),
        np.concatenate([corner @ each for each in quarters]),
        np.concatenate([np.stack([np.sin(span), -np.cos(span)], 1), inner]),
        np.array([(0.2, -1.1), (-0.7, 0.15), (-0.05, 0.15), (-0.3, 1.1), (0.7, -0.2), (0.05, -0.2)]),
    ]


_SHAPES = _make_shapes()


def _fill_outline(outline: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels of a polygon as pycocotools fills it, so that annotation and image agree."""
    [packed] = coco_mask.frPyObjects([outline.ravel().tolist()], height, width)
    return np.asarray(coco_mask.decode(packed)).astype(bool)


def _choose_piece(parts: Sequence[Sequence[ImageArray]], rng: np.random.Generator) -> ImageArray:
    """Choose a photograph, one of its pieces and the order of its colors."""
    pieces = parts[int(rng.integers(len(parts)))]
    return pieces[int(rng.integers(len(pieces)))][..., rng.permutation(3)]


def _cover_area(photo: ImageArray, height: int, width: int, rng: np.random.Generator) -> ImageArray:
    """Return a piece of a photograph at the size of a scene, with random scale, shift and brightness, mirrored beyond
    its border."""
    scale = 0.5 + 0.5 * rng.random()
    shift = [rng.random() * scale * side for side in photo.shape[1::-1]]
    matrix = np.array([[scale, 0, -shift[0]], [0, scale, -shift[1]]])
    photo = np.ascontiguousarray(photo)
    piece = cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(np.clip(piece * (0.85 + 0.3 * rng.random()), 0, 255), np.uint8)


def _describe_piece(piece: _Piece, visible: NDArray[np.bool_], height: int, width: int) -> dict[str, Any] | None:
    """Describe what is visible of a piece; nothing if it is hardly anything.

    The outline describes it where nothing hides a part of it and it lies within the image, run lengths elsewhere.
    """
    whole = _fill_outline(piece.outline, height, width)
    pixels = int(visible.sum())
    # nobody could tell what so few pixels are, and no detector could find them
    if pixels < 16:
        return None
    is_inside = bool((piece.outline >= 0).all() and (piece.outline <= [width, height]).all())
    # an outline says nothing of what hides a part of it
    if pixels == whole.sum() and is_inside:
        low, high = piece.outline.min(0), piece.outline.max(0)
        box = [round(float(value), 2) for value in (*low, *(high - low))]
        mask: Any = [piece.outline.ravel().tolist()]
    else:
        packed = coco_mask.encode(np.asfortranarray(visible.astype(np.uint8)))
        box = [float(value) for value in coco_mask.toBbox(packed)]
        mask = {"size": [height, width], "counts": packed["counts"].decode()}
    category = CATEGORIES[piece.label][0]
    return {"category_id": category, "bbox": box, "area": pixels, "iscrowd": 0, "segmentation": mask}


def _paste_crowd(
    scene: ImageArray, parts: Sequence[Sequence[ImageArray]], height: int, width: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Paste a heap of small discs, and describe it by one mask of uncompressed run lengths."""
    heap = np.zeros((height, width), bool)
    for _ in range(14):
        center = rng.uniform([width - 90, 20], [width - 20, 90])
        heap |= _fill_outline(_draw_outline(_DISC, center, 16, rng), height, width)
    scene[heap] = _cover_area(_choose_piece(parts, rng), height, width, rng)[heap]
    rows, columns = np.nonzero(heap)
    left, top = int(columns.min()), int(rows.min())
    box = [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
    flat = heap.ravel(order="F").astype(np.int8)  # column by column
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes.tolist(), flat.size]).tolist()
    # the first run counts zeros
    counts = [0, *counts] if flat[0] else counts
    return {
        "category_id": CATEGORIES[_DISC][0],
        "bbox": [float(value) for value in box],
        "area": int(heap.sum()),
        "iscrowd": 1,
        "segmentation": {"size": [height, width], "counts": counts},
    }
