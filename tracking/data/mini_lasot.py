"""``mini_lasot``: 24 short sequences in LaSOT's layout, composed of real photographs, with exact boxes.

In each sequence a piece of one photograph moves over another one. Each category has one difficulty. Sequences 1 and 2
of a category are the training split, 3 and 4 the test split, and the two splits have no photograph in common. The
sequences are generated once and stored in the cache folder.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from engine.data import photographs
from engine.pictures.image_files import write_image
from foundation.environment import get_cache_dir
from foundation.storage.file_locks import take_file_lock
from foundation.storage.leftovers import open_partial_folder, remove_abandoned
from tracking.data.boxes import FloatArray
from tracking.data.crops import ImageArray
from tracking.data.cutouts import (
    AffineMatrix,
    Cutout,
    make_pose_matrix,
    outline_to_box,
    paint_cutout,
    render_opacity,
    sample_cutout,
    warp_image,
)

MINI_LASOT_VERSION = 1
"""Increase it when a change to this module alters a pixel or a box."""

CATEGORIES = ("distractor", "drift", "occlusion", "outofview", "scale", "turn")
TRAIN_SEQUENCE_NUMBERS, TEST_SEQUENCE_NUMBERS = (1, 2), (3, 4)
FRAMES_PER_SEQUENCE, FRAME_WIDTH, FRAME_HEIGHT = 48, 320, 240
MIN_VISIBLE_FRACTION = 0.05
"""A target of which a smaller fraction is visible counts as fully occluded."""


class SyntheticFrame(NamedTuple):
    """One frame with its labels.

    Attributes:
        image: RGB, shape (height, width, 3).
        box: x, y, width, height in integer pixels, clipped to the frame; all 0 outside it.
        fully_occluded: whether almost nothing of the target is visible.
        out_of_view: whether the target has left the frame.
    """

    image: ImageArray
    box: tuple[int, int, int, int]
    fully_occluded: bool
    out_of_view: bool


def ensure_mini_lasot() -> Path:
    """Return the folder with the sequences in LaSOT's layout; generate them on the first call (about ten seconds).

    Raises:
        DataError: a photograph is missing in the installed scikit-image or scikit-learn.
        StorageError: the cache folder cannot be written.
    """
    folder = get_cache_dir() / f"mini_lasot-{MINI_LASOT_VERSION}"
    if folder.is_dir():
        return folder
    get_cache_dir().mkdir(parents=True, exist_ok=True)
    # several processes may start at the same time; one generates, the others wait and find the folder
    with take_file_lock(Path(f"{folder}.lock")):
        if not folder.is_dir():
            remove_abandoned(folder, is_owner=True)
            with open_partial_folder(folder) as half:
                write_mini_lasot(half / "whole")
                # in the same file system this is a rename: a folder of that name is never incomplete
                (half / "whole").rename(folder)
    return folder


def write_mini_lasot(folder: Path) -> None:
    """Write all sequences and the two lists of their names.

    Args:
        folder: the folder to create.
    """
    folder.mkdir(parents=True)
    for numbers, list_file, names in (
        (TRAIN_SEQUENCE_NUMBERS, "training_set.txt", photographs.TRAIN_PHOTOS),
        (TEST_SEQUENCE_NUMBERS, "testing_set.txt", photographs.TEST_PHOTOS),
    ):
        photos = photographs.load_photos(names)
        listed = []
        for category in CATEGORIES:
            for number in numbers:
                listed.append(f"{category}-{number}")
                write_lasot_sequence(
                    folder / category / listed[-1], render_sequence(category, number, photos), category
                )
        (folder / list_file).write_text("\n".join(listed) + "\n")


def write_lasot_sequence(folder: Path, frames: list[SyntheticFrame], category: str) -> None:
    """Write one sequence as LaSOT ships it.

    Args:
        folder: the folder to create.
        frames: the frames with their labels.
        category: named in the description of the sequence.
    """
    (folder / "img").mkdir(parents=True)
    for number, frame in enumerate(frames, 1):
        quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
        write_image(folder / "img" / f"{number:08d}.jpg", frame.image[..., ::-1], quality)
    # LaSOT's formats: one box per line, but all flags of a sequence in one line
    lines = [",".join(map(str, frame.box)) for frame in frames]
    (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    (folder / "full_occlusion.txt").write_text(",".join(str(int(frame.fully_occluded)) for frame in frames))
    (folder / "out_of_view.txt").write_text(",".join(str(int(frame.out_of_view)) for frame in frames))
    (folder / "nlp.txt").write_text(f"a piece of a photograph moving over another ({category})\n")


def render_sequence(category: str, sequence_number: int, photos: list[ImageArray]) -> list[SyntheticFrame]:
    """Render the frames of one sequence; the same frames for the same arguments.

    Args:
        category: one of ``CATEGORIES``.
        sequence_number: number of the sequence in its category, from 1.
        photos: the photographs of the split.
    """
    rng = np.random.default_rng((MINI_LASOT_VERSION, CATEGORIES.index(category), sequence_number))
    # two different photographs: the target's and the background's
    first, second = rng.permutation(len(photos))[:2]
    aspect = math.exp(rng.uniform(-0.5, 0.5))
    side = rng.uniform(34, 56)
    target = sample_cutout(rng, photos[first], aspect)
    size = (side * math.sqrt(aspect), side / math.sqrt(aspect))
    path = _sample_trajectory(rng, category)
    # logarithm of the scale and angle in radians, large only in the category that is about them
    growth = _smooth_curve(rng, 0.55 if category == "scale" else 0.12)
    turns = _smooth_curve(rng, 1.3 if category == "turn" else 0.12)
    places = [
        make_pose_matrix((x, y), (size[0] * math.exp(g), size[1] * math.exp(g)), t)
        for (x, y), g, t in zip(path, growth, turns, strict=True)
    ]
    others = [_make_distractor(rng, target, photos[first], size) for _ in range(3 if category == "distractor" else 0)]
    cover = _make_occluder(rng, photos[second], path, side) if category == "occlusion" else None
    grounds = _make_background_motion(rng, photos[second])
    frames = []
    for time in range(FRAMES_PER_SEQUENCE):
        picture = warp_image(photos[second], grounds[time], (FRAME_WIDTH, FRAME_HEIGHT), cv2.BORDER_REFLECT_101)
        # distractors pass behind the target and the occluder in front of it
        for layer, way in others:
            paint_cutout(picture, layer, way[time])
        paint_cutout(picture, target, places[time])
        if cover is not None:
            paint_cutout(picture, *cover)
        frames.append(SyntheticFrame(picture, *_make_labels(target, places[time], cover)))
    return frames


def _make_labels(
    target: Cutout, pose: AffineMatrix, occluder: tuple[Cutout, AffineMatrix] | None
) -> tuple[tuple[int, int, int, int], bool, bool]:
    """Return the box in integer pixels within the frame, whether the target is occluded, and whether it has left.

    Args:
        target: the target.
        pose: its pose in this frame.
        occluder: the occluder and its pose, or ``None``.
    """
    x, y, w, h = outline_to_box(target.outline, pose).tolist()
    left, top, right, bottom = (
        max(0, round(x)),
        max(0, round(y)),
        min(FRAME_WIDTH, round(x + w)),
        min(FRAME_HEIGHT, round(y + h)),
    )
    if right <= left or bottom <= top:
        return (0, 0, 0, 0), False, True
    seen = render_opacity(target, pose, (FRAME_WIDTH, FRAME_HEIGHT)).astype(np.float64)
    # the visible part within the frame: a target that is cut off by the border is not occluded
    full_opacity = seen.sum()
    if occluder is not None:
        seen = seen * (1 - render_opacity(*occluder, (FRAME_WIDTH, FRAME_HEIGHT)) / 255)
    occluded = bool(seen.sum() < MIN_VISIBLE_FRACTION * full_opacity)
    return (left, top, right - left, bottom - top), occluded, False


def _smooth_curve(rng: np.random.Generator, amplitude: float) -> FloatArray:
    """Return a smooth curve over the frames that starts at 0: a part of a sine with a random frequency and phase.

    Args:
        rng: random generator.
        amplitude: the extent of the curve.

    Returns:
        Shape (frames,).
    """
    time = np.arange(FRAMES_PER_SEQUENCE) / FRAMES_PER_SEQUENCE
    course = np.sin(2 * np.pi * rng.uniform(0.6, 1.2) * time + rng.uniform(0, 2 * np.pi))
    return np.asarray(amplitude * (course - course[0]) / 1.2, np.float64)


def _sample_trajectory(rng: np.random.Generator, category: str) -> FloatArray:
    """Return the target's center in each frame, in pixels.

    In the category ``outofview`` the target leaves the frame on one side and comes back.

    Returns:
        Shape (frames, 2).
    """
    reach = np.array([FRAME_WIDTH, FRAME_HEIGHT]) * 0.3
    path = np.array([FRAME_WIDTH, FRAME_HEIGHT]) / 2 + rng.uniform(-0.5, 0.5, 2) * reach
    path = path + np.stack([_smooth_curve(rng, reach[0]), _smooth_curve(rng, reach[1])], 1)
    # at least 45 px from the border, so that the target stays in view
    path = np.clip(path, 45, np.array([FRAME_WIDTH, FRAME_HEIGHT]) - 45)
    if category == "outofview":
        # a Gaussian bump around 55 % of the sequence
        away = np.exp(
            -(((np.arange(FRAMES_PER_SEQUENCE) - 0.55 * FRAMES_PER_SEQUENCE) / (0.13 * FRAMES_PER_SEQUENCE)) ** 2)
        )
        path[:, 0] += away * (FRAME_WIDTH * 0.9) * rng.choice([-1, 1])
    return np.asarray(path, np.float64)


def _make_distractor(
    rng: np.random.Generator, target: Cutout, photo: ImageArray, size: tuple[float, float]
) -> tuple[Cutout, list[AffineMatrix]]:
    """Return a distractor with the target's shape and another piece of its photograph, and its pose in each frame."""
    layer = target._replace(photo_from_square=sample_cutout(rng, photo, size[0] / size[1]).photo_from_square)
    return layer, [
        make_pose_matrix((x, y), size, t)
        for (x, y), t in zip(_sample_trajectory(rng, "drift"), _smooth_curve(rng, 0.3), strict=True)
    ]


def _make_occluder(
    rng: np.random.Generator, photo: ImageArray, trajectory: FloatArray, side: float
) -> tuple[Cutout, AffineMatrix]:
    """Return an occluder, larger than the target, at the place where the target is in the middle of the sequence."""
    layer = sample_cutout(rng, photo, 1.0)
    x, y = trajectory[FRAMES_PER_SEQUENCE // 2]
    return layer, make_pose_matrix((float(x), float(y)), (2.4 * side, 2.4 * side))


def _make_background_motion(rng: np.random.Generator, photo: ImageArray) -> list[AffineMatrix]:
    """Return the affine maps from the background photograph to each frame: a slow pan and zoom."""
    height, width = photo.shape[:2]
    # 15 % larger than the frame, so that the pan rarely shows the mirrored border
    base = 1.15 * max(FRAME_WIDTH / width, FRAME_HEIGHT / height)
    maps = []
    for x, y, zoom in zip(_smooth_curve(rng, 14), _smooth_curve(rng, 10), _smooth_curve(rng, 0.08), strict=True):
        scale = base * math.exp(zoom)
        maps.append(
            np.array(
                [
                    [scale, 0, FRAME_WIDTH / 2 + x - scale * width / 2],
                    [0, scale, FRAME_HEIGHT / 2 + y - scale * height / 2],
                    [0, 0, 1.0],
                ]
            )
        )
    return maps
