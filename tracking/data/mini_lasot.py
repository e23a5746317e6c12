"""``mini_lasot``: 24 short sequences in LaSOT's own layout, made of real photographs, with exact boxes.

A piece of one photograph moves over another; each category has a difficulty. Sequences 1 and 2 of a category are the
training split, 3 and 4 the test split, and the two splits share no photograph. Made once, in the cache folder.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from filelock import FileLock

from foundation.environment import cache_dir
from engine.data import photographs
from tracking.data.boxes import Floats
from tracking.data.crops import Image
from tracking.data.cutouts import Cutout, Matrix, box_of, cutout, opacity, paint, pose, warp

VERSION = 1
"""Raise it when anything below changes a pixel or a box."""

CATEGORIES = ("distractor", "drift", "occlusion", "outofview", "scale", "turn")
TRAIN_NUMBERS, TEST_NUMBERS = (1, 2), (3, 4)
FRAMES, WIDTH, HEIGHT = 48, 320, 240
HIDDEN = 0.05
"""A target of which less than this share is seen is fully occluded."""


class Moment(NamedTuple):
    """One frame: the picture, the box clipped to it, and the two labels."""

    picture: Image
    box: tuple[int, int, int, int]
    occluded: bool
    outside: bool


def mini_lasot() -> Path:
    """The folder with the data in LaSOT's layout; made on the first call (about ten seconds).

    Raises:
        DataError: scikit-image or scikit-learn lacks a photograph.
    """
    folder = cache_dir() / f"mini_lasot-{VERSION}"
    if folder.is_dir():
        return folder
    cache_dir().mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=cache_dir()) as half:
                write(Path(half) / "whole")
                shutil.move(Path(half) / "whole", folder)  # a rename: there is never half a folder of that name
    return folder


def write(folder: Path) -> None:
    """Write all sequences and the two lists of names below ``folder``."""
    folder.mkdir(parents=True)
    for numbers, list_file, names in (
        (TRAIN_NUMBERS, "training_set.txt", photographs.TRAIN),
        (TEST_NUMBERS, "testing_set.txt", photographs.TEST),
    ):
        photos = photographs.load(names)
        listed = []
        for category in CATEGORIES:
            for number in numbers:
                listed.append(f"{category}-{number}")
                write_sequence(folder / category / listed[-1], moments(category, number, photos), category)
        (folder / list_file).write_text("\n".join(listed) + "\n")


def write_sequence(folder: Path, frames: list[Moment], category: str) -> None:
    """One sequence as LaSOT ships it."""
    (folder / "img").mkdir(parents=True)
    for number, frame in enumerate(frames, 1):
        quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
        cv2.imwrite(str(folder / "img" / f"{number:08d}.jpg"), frame.picture[..., ::-1], quality)
    lines = [",".join(map(str, frame.box)) for frame in frames]
    (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    (folder / "full_occlusion.txt").write_text(",".join(str(int(frame.occluded)) for frame in frames))
    (folder / "out_of_view.txt").write_text(",".join(str(int(frame.outside)) for frame in frames))
    (folder / "nlp.txt").write_text(f"a piece of a photograph moving over another ({category})\n")


def moments(category: str, number: int, photos: list[Image]) -> list[Moment]:
    """The frames of one sequence; the same for the same arguments and photographs."""
    rng = np.random.default_rng((VERSION, CATEGORIES.index(category), number))
    first, second = rng.permutation(len(photos))[:2]
    aspect = math.exp(rng.uniform(-0.5, 0.5))
    side = rng.uniform(34, 56)
    target = cutout(rng, photos[first], aspect)
    size = (side * math.sqrt(aspect), side / math.sqrt(aspect))
    path = _path(rng, category)
    growth = _wave(rng, 0.55 if category == "scale" else 0.12)
    turns = _wave(rng, 1.3 if category == "turn" else 0.12)
    places = [
        pose((x, y), (size[0] * math.exp(g), size[1] * math.exp(g)), t)
        for (x, y), g, t in zip(path, growth, turns, strict=True)
    ]
    others = [_other(rng, target, photos[first], size) for _ in range(3 if category == "distractor" else 0)]
    cover = _cover(rng, photos[second], path, side) if category == "occlusion" else None
    grounds = _pan(rng, photos[second])
    frames = []
    for time in range(FRAMES):
        picture = warp(photos[second], grounds[time], (WIDTH, HEIGHT), cv2.BORDER_REFLECT_101)
        for layer, way in others:
            paint(picture, layer, way[time])
        paint(picture, target, places[time])
        if cover is not None:
            paint(picture, *cover)
        frames.append(Moment(picture, *_labels(target, places[time], cover)))
    return frames


def _labels(
    target: Cutout, place: Matrix, cover: tuple[Cutout, Matrix] | None
) -> tuple[tuple[int, int, int, int], bool, bool]:
    """Box in whole pixels inside the frame, whether the target is covered, whether it has left."""
    x, y, w, h = box_of(target.outline, place).tolist()
    left, top, right, bottom = max(0, round(x)), max(0, round(y)), min(WIDTH, round(x + w)), min(HEIGHT, round(y + h))
    if right <= left or bottom <= top:
        return (0, 0, 0, 0), False, True
    seen = opacity(target, place, (WIDTH, HEIGHT)).astype(np.float64)
    all_of_it = seen.sum()
    if cover is not None:
        seen = seen * (1 - opacity(*cover, (WIDTH, HEIGHT)) / 255)
    occluded = bool(seen.sum() < HIDDEN * all_of_it)
    return (left, top, right - left, bottom - top), occluded, False


def _wave(rng: np.random.Generator, reach: float) -> Floats:
    """A smooth course over the frames, beginning at 0."""
    time = np.arange(FRAMES) / FRAMES
    course = np.sin(2 * np.pi * rng.uniform(0.6, 1.2) * time + rng.uniform(0, 2 * np.pi))
    return np.asarray(reach * (course - course[0]) / 1.2, np.float64)


def _path(rng: np.random.Generator, category: str) -> Floats:
    """Centres (FRAMES, 2); of ``outofview`` they leave the frame on a side and come back."""
    reach = np.array([WIDTH, HEIGHT]) * 0.3
    path = np.array([WIDTH, HEIGHT]) / 2 + rng.uniform(-0.5, 0.5, 2) * reach
    path = path + np.stack([_wave(rng, reach[0]), _wave(rng, reach[1])], 1)
    path = np.clip(path, 45, np.array([WIDTH, HEIGHT]) - 45)
    if category == "outofview":
        away = np.exp(-(((np.arange(FRAMES) - 0.55 * FRAMES) / (0.13 * FRAMES)) ** 2))
        path[:, 0] += away * (WIDTH * 0.9) * rng.choice([-1, 1])
    return np.asarray(path, np.float64)


def _other(
    rng: np.random.Generator, target: Cutout, photo: Image, size: tuple[float, float]
) -> tuple[Cutout, list[Matrix]]:
    """A distractor with the target's shape and another piece of its photograph."""
    layer = target._replace(source=cutout(rng, photo, size[0] / size[1]).source)
    return layer, [pose((x, y), size, t) for (x, y), t in zip(_path(rng, "drift"), _wave(rng, 0.3), strict=True)]


def _cover(rng: np.random.Generator, photo: Image, path: Floats, side: float) -> tuple[Cutout, Matrix]:
    """Something that stands where the target passes in mid-sequence, larger than it."""
    layer = cutout(rng, photo, 1.0)
    x, y = path[FRAMES // 2]
    return layer, pose((float(x), float(y)), (2.4 * side, 2.4 * side))


def _pan(rng: np.random.Generator, photo: Image) -> list[Matrix]:
    """3x3 maps from the background photograph to each frame: a slow pan and zoom."""
    height, width = photo.shape[:2]
    base = 1.15 * max(WIDTH / width, HEIGHT / height)
    maps = []
    for x, y, zoom in zip(_wave(rng, 14), _wave(rng, 10), _wave(rng, 0.08), strict=True):
        scale = base * math.exp(zoom)
        maps.append(
            np.array(
                [
                    [scale, 0, WIDTH / 2 + x - scale * width / 2],
                    [0, scale, HEIGHT / 2 + y - scale * height / 2],
                    [0, 0, 1.0],
                ]
            )
        )
    return maps
