"""Find COCO 2017 on disk, in the layout that it ships in and in those that people have. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detection.data.annotation_file import AnnotationFile, read_annotations
from detection.data.ground_truth import Category, DetectionDataset, DetectionSplit
from foundation.errors import DataError
from foundation.run_scope import memoize_in_run

SPLIT_FILES = {"train": "train2017", "test": "val2017"}
"""COCO's name of each split. Its validation split is the test here: nothing is chosen on it."""

OFFICIAL_OBJECTS = {"train": 860_001, "test": 36_781}
"""Objects of each split of COCO 2017, crowds included."""

_FOLDERS = ("coco", "COCO", "coco2017", "COCO2017", "mscoco", "")
_IMAGE_PLACES = ("{split}", "images/{split}")

COCO_CATEGORIES: Sequence[Category] = tuple(
    Category(number, name)
    for number, name in (
        *((1, "person"), (2, "bicycle"), (3, "car"), (4, "motorcycle"), (5, "airplane"), (6, "bus"), (7, "train")),
        *((8, "truck"), (9, "boat"), (10, "traffic light"), (11, "fire hydrant"), (13, "stop sign")),
        *((14, "parking meter"), (15, "bench"), (16, "bird"), (17, "cat"), (18, "dog"), (19, "horse"), (20, "sheep")),
        *((21, "cow"), (22, "elephant"), (23, "bear"), (24, "zebra"), (25, "giraffe"), (27, "backpack")),
        *((28, "umbrella"), (31, "handbag"), (32, "tie"), (33, "suitcase"), (34, "frisbee"), (35, "skis")),
        *((36, "snowboard"), (37, "sports ball"), (38, "kite"), (39, "baseball bat"), (40, "baseball glove")),
        *((41, "skateboard"), (42, "surfboard"), (43, "tennis racket"), (44, "bottle"), (46, "wine glass")),
        *((47, "cup"), (48, "fork"), (49, "knife"), (50, "spoon"), (51, "bowl"), (52, "banana"), (53, "apple")),
        *((54, "sandwich"), (55, "orange"), (56, "broccoli"), (57, "carrot"), (58, "hot dog"), (59, "pizza")),
        *((60, "donut"), (61, "cake"), (62, "chair"), (63, "couch"), (64, "potted plant"), (65, "bed")),
        *((67, "dining table"), (70, "toilet"), (72, "tv"), (73, "laptop"), (74, "mouse"), (75, "remote")),
        *((76, "keyboard"), (77, "cell phone"), (78, "microwave"), (79, "oven"), (80, "toaster"), (81, "sink")),
        *((82, "refrigerator"), (84, "book"), (85, "clock"), (86, "vase"), (87, "scissors"), (88, "teddy bear")),
        *((89, "hair drier"), (90, "toothbrush")),
    )
)
"""The 80 categories of COCO; ten ids between 1 and 90 are not used."""


def find_coco_folder(root: Path) -> Path:
    """Return the folder that holds COCO's ``annotations``.

    Args:
        root: the data root, or the folder itself.

    Raises:
        DataError: there is none; the message says what was looked for.
    """
    # the file of val alone decides: to test a model, train need not be there
    for name in _FOLDERS:
        if (root / name / "annotations" / "instances_val2017.json").is_file():
            return root / name
    raise DataError(
        f"no COCO under {root}: looked for coco/annotations/instances_val2017.json; unpack train2017.zip, val2017.zip "
        "and annotations_trainval2017.zip into one folder coco, and name the folder above it with --data-root"
    )


def read_coco(root: Path, *, test_only: bool = False, name: str = "coco") -> DetectionDataset:
    """Find COCO 2017 below a folder and read its annotations.

    Args:
        root: the data root, or the folder itself.
        name: the task's name.
        test_only: read the test split alone; the training images are not needed to test a model.

    Raises:
        DataError: a file is missing or damaged.
    """
    return read_coco_folder(find_coco_folder(root), name, test_only=test_only)


def read_coco_folder(folder: Path, name: str, *, test_only: bool = False) -> DetectionDataset:
    """Read a folder in COCO's layout.

    Args:
        folder: holds ``annotations`` and the images of each split.
        name: the task's name.
        test_only: read the test split alone.

    Raises:
        DataError: a file is missing or damaged, or the splits have other categories.
    """
    found = {
        split: _read_split(folder, official)
        for split, official in SPLIT_FILES.items()
        if split == "test" or not test_only
    }
    # labels are indices into the list, so that equal names at other places would be other classes
    categories = found["test"].categories
    if "train" in found and list(found["train"].categories) != list(categories):
        raise DataError(
            f"the two annotation files in {folder / 'annotations'} list other categories, so a model trained on one "
            "could not be tested on the other; fetch them again"
        )
    splits: dict[str, DetectionSplit] = {split: each.split for split, each in found.items()}
    notes = tuple(f"{split}: {note}" for split, each in found.items() for note in each.notes)
    has_masks = all(each.annotations.masks is not None for each in splits.values())
    return DetectionDataset(name, folder, splits, categories, has_masks, notes)


@memoize_in_run
def _read_split(folder: Path, official: str) -> AnnotationFile:
    file = folder / "annotations" / f"instances_{official}.json"
    if not file.is_file():
        raise DataError(f"there is no {file}; unpack annotations_trainval2017.zip into {folder}")
    for place in _IMAGE_PLACES:
        images = folder / place.format(split=official)
        if images.is_dir():
            return read_annotations(file, images)
    raise DataError(f"there is no folder {folder / official} with the images; unpack {official}.zip into {folder}")


def compare_official_annotations(dataset: DetectionDataset) -> tuple[str, ...]:
    """Return how a data set differs from COCO 2017, one sentence each; images are counted elsewhere.

    Args:
        dataset: read in COCO's layout.
    """
    sentences = [
        f"{split} has {len(each.annotations):,} of {OFFICIAL_OBJECTS[split]:,} annotations"
        for split, each in dataset.splits.items()
        if len(each.annotations) != OFFICIAL_OBJECTS[split]
    ]
    if tuple(dataset.categories) != tuple(COCO_CATEGORIES):
        sentences.append(f"{len(dataset.categories)} categories other than the 80 of COCO")
    return tuple(sentences)
