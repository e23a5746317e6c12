"""``mini_ade``: real photographs laid out as ADEChallengeData2016, made on this machine, no download.

Every scene is a patchwork: smooth random regions, each filled with a piece of one photograph that scikit-image or
scikit-learn ships (brick, sky, trees, gravel, a flower, a cat), labelled with that thing's number in ADE20K; pixels
along the seams are labelled 0, as ADE20K's unlabelled ones are. Training pieces come from two opposite quarters of each
photograph, validation pieces from the other two, so no pixel is in both. What it tests is the way of a run (layout,
loader, label shift, training, scoring), not scene understanding.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from engine.seeding import derive_seed
from foundation.errors import DataError

MINI_ADE_VERSION = 1
SCENE_SIZE = (96, 128)
"""Height and width of a scene, pixels."""
SPLIT_SIZES = {"training": 48, "validation": 24}
SEAM_WIDTH = 2
"""Pixels along a seam that carry no label, each side."""


class PhotoSource(NamedTuple):
    """A class of ADE20K and where its pixels come from: package, file, and the box left, top, right, bottom."""

    label: int
    package: str
    file_name: str
    box: tuple[int, int, int, int]


PHOTO_SOURCES = (
    PhotoSource(1, "skimage.data", "brick.png", (0, 0, 512, 512)),
    PhotoSource(3, "sklearn.datasets.images", "china.jpg", (330, 0, 640, 180)),
    PhotoSource(5, "sklearn.datasets.images", "china.jpg", (230, 320, 560, 427)),
    PhotoSource(14, "skimage.data", "gravel.png", (0, 0, 512, 512)),
    PhotoSource(67, "sklearn.datasets.images", "flower.jpg", (190, 110, 430, 340)),
    PhotoSource(127, "skimage.data", "chelsea.png", (40, 80, 380, 300)),
)


def make_mini_ade(cache: Path) -> Path:
    """The folder that holds ``ADEChallengeData2016``, made on the first call.

    Args:
        cache: the cache folder.

    Raises:
        DataError: a photograph is not where its package should have it.
    """
    home = cache / f"mini_ade-{MINI_ADE_VERSION}"
    if (home / "ADEChallengeData2016").is_dir():
        return home
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".lock"):
        if not (home / "ADEChallengeData2016").is_dir():
            work = Path(tempfile.mkdtemp(dir=home))
            _write_dataset(work)
            work.rename(home / "ADEChallengeData2016")  # in one piece
    for leftover in home.glob("tmp*"):  # of a kill in the middle
        shutil.rmtree(leftover, ignore_errors=True)
    return home


def _write_dataset(folder: Path) -> None:
    photographs = [_load_photograph(source) for source in PHOTO_SOURCES]
    for split, count in SPLIT_SIZES.items():
        pieces = [split_quarters(photograph, split == "training") for photograph in photographs]
        images, labels = folder / "images" / split, folder / "annotations" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        stem = {"training": "ADE_train", "validation": "ADE_val"}[split]
        for number in range(1, count + 1):
            image, label = compose_scene(pieces, derive_seed(MINI_ADE_VERSION, list(SPLIT_SIZES).index(split), number))
            cv2.imwrite(str(images / f"{stem}_{number:08d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
            cv2.imwrite(str(labels / f"{stem}_{number:08d}.png"), label)


def _load_photograph(source: PhotoSource) -> NDArray[np.uint8]:
    data = resources.files(source.package).joinpath(source.file_name)
    if not data.is_file():
        raise DataError(
            f"{source.package} here lacks {source.file_name}, which mini_ade is made of; reinstall that package"
        )
    left, top, right, bottom = source.box
    image = cv2.imdecode(np.frombuffer(data.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)[top:bottom, left:right]


def split_quarters(photograph: NDArray[np.uint8], for_training: bool) -> list[NDArray[np.uint8]]:
    """Upper left and lower right for training, the other two for validation."""
    middle, centre = photograph.shape[0] // 2, photograph.shape[1] // 2
    upper, lower = photograph[:middle], photograph[middle:]
    if for_training:
        return [upper[:, :centre], lower[:, centre:]]
    return [upper[:, centre:], lower[:, :centre]]


def compose_scene(pieces: list[list[NDArray[np.uint8]]], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One patchwork: image (height, width, 3), BGR, and label (height, width) in ADE20K's numbers.

    Args:
        pieces: parts of photographs to choose from, one list a source, in the order of ``PHOTO_SOURCES``.
        seed: of everything that is drawn.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    chosen = draw.permutation(len(PHOTO_SOURCES))[: 3 + int(draw.integers(3))]
    height, width = SCENE_SIZE
    fields = [cv2.resize(draw.random((4, 5)), (width, height), interpolation=cv2.INTER_CUBIC) for _ in chosen]
    winner = np.argmax(fields, axis=0)
    image = np.zeros((height, width, 3), np.uint8)
    label = np.zeros((height, width), np.uint8)
    kernel = np.ones((2 * SEAM_WIDTH + 1, 2 * SEAM_WIDTH + 1), np.uint8)
    for place, number in enumerate(chosen):
        region = (winner == place).astype(np.uint8)
        image[region > 0] = _make_texture(pieces[number][int(draw.integers(2))], draw)[region > 0]
        inside = cv2.erode(region, kernel, borderType=cv2.BORDER_REPLICATE)
        label[inside > 0] = PHOTO_SOURCES[number].label
    return image, label


def _make_texture(photograph: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A piece of a photograph at scene size: scaled, shifted, lit at random, mirrored beyond its border."""
    height, width = SCENE_SIZE
    scale = 0.4 + 0.2 * rng.random()
    shift = [rng.random() * scale * side for side in photograph.shape[1::-1]]
    matrix = np.array([[scale, 0, -shift[0]], [0, scale, -shift[1]]])
    piece = cv2.warpAffine(photograph, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(np.clip(piece * (0.9 + 0.2 * rng.random()), 0, 255), np.uint8)
