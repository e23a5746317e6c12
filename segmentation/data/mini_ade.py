"""Make ``mini_ade``: real photographs in the layout of ADEChallengeData2016, composed on this machine.

Every scene is a patchwork of smooth random regions. Each region is filled with a piece of one photograph that
scikit-image or scikit-learn ships (brick, sky, trees, gravel, a flower, a cat) and labeled with the number of that
thing in ADE20K. Pixels along the seams are labeled 0, like ADE20K's unlabeled pixels. Training pieces come from two
opposite quarters of each photograph and validation pieces from the other two, so no pixel is in both splits.

The data set tests the steps of a run (layout, loader, label shift, training, scoring). It does not test whether a
backbone understands scenes.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.pictures.image_files import write_image
from foundation.errors import DataError
from foundation.storage.file_locks import take_file_lock
from foundation.storage.leftovers import open_partial_folder, remove_owned_leftovers

MINI_ADE_VERSION = 1
"""Raise this whenever the files change: it seeds the scenes, and every version has its own folder in the cache."""
SCENE_SIZE = (96, 128)
"""Height and width of a scene, pixels."""
SPLIT_SIZES = {"training": 48, "validation": 24}
"""Scenes of each split."""
SEAM_WIDTH = 2
"""Pixels without a label on each side of a seam."""


class PhotoSource(NamedTuple):
    """A class of ADE20K and the photograph that its pixels come from.

    Attributes:
        label: label value in ADE20K's files.
        package: Python package that ships the photograph.
        file_name: file in that package.
        box: left, top, right and bottom of the part that shows this class and nothing else, pixels.
    """

    label: int
    package: str
    file_name: str
    box: tuple[int, int, int, int]


PHOTO_SOURCES = (
    PhotoSource(1, "skimage.data", "brick.png", (0, 0, 512, 512)),  # wall
    PhotoSource(3, "sklearn.datasets.images", "china.jpg", (330, 0, 640, 180)),  # sky
    PhotoSource(5, "sklearn.datasets.images", "china.jpg", (230, 320, 560, 427)),  # tree
    PhotoSource(14, "skimage.data", "gravel.png", (0, 0, 512, 512)),  # earth
    PhotoSource(67, "sklearn.datasets.images", "flower.jpg", (190, 110, 430, 340)),  # flower
    PhotoSource(127, "skimage.data", "chelsea.png", (40, 80, 380, 300)),  # animal: a cat
)


def make_mini_ade(cache: Path) -> Path:
    """Return the folder that holds ``ADEChallengeData2016``; the first call makes it.

    Args:
        cache: the cache folder.

    Raises:
        DataError: a package lacks the photograph that it should ship.
        StorageError: the cache folder cannot be written.
    """
    home = cache / f"mini_ade-{MINI_ADE_VERSION}"
    if (home / "ADEChallengeData2016").is_dir():
        return home
    home.mkdir(parents=True, exist_ok=True)
    with take_file_lock(home / ".lock"):  # several runs may start at once
        # look again: another process may have made the data while this one waited for the lock
        if not (home / "ADEChallengeData2016").is_dir():
            remove_owned_leftovers(home)
            with open_partial_folder(home / "ADEChallengeData2016") as work:
                _write_dataset(work)
                # renaming a folder is atomic, so a reader sees either no data or all of them
                work.rename(home / "ADEChallengeData2016")
    return home


def _write_dataset(folder: Path) -> None:
    from engine.seeding import derive_seed  # imports torch, which a set that is already there does not need

    photographs = [_load_photograph(source) for source in PHOTO_SOURCES]
    for split, count in SPLIT_SIZES.items():
        pieces = [split_quarters(photograph, split == "training") for photograph in photographs]
        images, labels = folder / "images" / split, folder / "annotations" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        stem = {"training": "ADE_train", "validation": "ADE_val"}[split]
        for number in range(1, count + 1):
            # one seed per scene: it depends on the version, the split and the number, not on the order of the work
            image, label = compose_scene(pieces, derive_seed(MINI_ADE_VERSION, list(SPLIT_SIZES).index(split), number))
            write_image(images / f"{stem}_{number:08d}.jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
            write_image(labels / f"{stem}_{number:08d}.png", label)


def _load_photograph(source: PhotoSource) -> NDArray[np.uint8]:
    data = resources.files(source.package).joinpath(source.file_name)
    if not data.is_file():
        raise DataError(
            f"package {source.package} lacks {source.file_name}, which mini_ade is made from; reinstall the package"
        )
    left, top, right, bottom = source.box
    image = cv2.imdecode(np.frombuffer(data.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)[top:bottom, left:right]


def split_quarters(photograph: NDArray[np.uint8], for_training: bool) -> list[NDArray[np.uint8]]:
    """Return two opposite quarters of a photograph.

    Args:
        photograph: (height, width, 3).
        for_training: ``True`` returns the upper left and lower right quarter, ``False`` the other two.
    """
    # opposite quarters, so that each split sees the upper and the lower half of every thing
    middle_row, middle_column = photograph.shape[0] // 2, photograph.shape[1] // 2
    upper, lower = photograph[:middle_row], photograph[middle_row:]
    if for_training:
        return [upper[:, :middle_column], lower[:, middle_column:]]
    return [upper[:, middle_column:], lower[:, :middle_column]]


def compose_scene(pieces: list[list[NDArray[np.uint8]]], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Compose one patchwork.

    Args:
        pieces: parts of photographs to choose from, one list per source, in the order of ``PHOTO_SOURCES``.
        seed: seed of everything that is random in the scene.

    Returns:
        The image (height, width, 3), uint8 BGR, and its labels (height, width), uint8, with ADE20K's label values.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    chosen = draw.permutation(len(PHOTO_SOURCES))[: 3 + int(draw.integers(3))]  # 3 to 5 classes per scene
    height, width = SCENE_SIZE
    # one smooth random field per class, from a 4 x 5 grid; each pixel belongs to the class whose field is largest there
    fields = [cv2.resize(draw.random((4, 5)), (width, height), interpolation=cv2.INTER_CUBIC) for _ in chosen]
    winner = np.argmax(fields, axis=0)
    image = np.zeros((height, width, 3), np.uint8)
    label = np.zeros((height, width), np.uint8)
    kernel = np.ones((2 * SEAM_WIDTH + 1, 2 * SEAM_WIDTH + 1), np.uint8)
    for field_index, source_index in enumerate(chosen):
        region = (winner == field_index).astype(np.uint8)
        image[region > 0] = _make_texture(pieces[source_index][int(draw.integers(2))], draw)[region > 0]
        # erosion leaves the label 0 along the seams; BORDER_REPLICATE keeps labels at the border of the scene
        inside = cv2.erode(region, kernel, borderType=cv2.BORDER_REPLICATE)
        label[inside > 0] = PHOTO_SOURCES[source_index].label
    return image, label


def _make_texture(photograph: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a piece of a photograph at scene size, with random scale, shift and brightness.

    Beyond the border of the photograph the piece is mirrored.
    """
    height, width = SCENE_SIZE
    scale = 0.4 + 0.2 * rng.random()  # 0.4 to 0.6 scene pixels per pixel of the photograph
    shift = [rng.random() * scale * side for side in photograph.shape[1::-1]]
    # photograph (x, y) goes to scene (scale * x - shift_x, scale * y - shift_y)
    matrix = np.array([[scale, 0, -shift[0]], [0, scale, -shift[1]]])
    piece = cv2.warpAffine(photograph, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(np.clip(piece * (0.9 + 0.2 * rng.random()), 0, 255), np.uint8)
