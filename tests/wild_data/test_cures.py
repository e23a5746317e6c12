"""Masks for which a refusal named a cure that did not work, or of which one of two readings was taken unsaid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.wild_data.test_masks import make_writer, then, write_text, write_voc
from tests.wild_data.wild_folder import WildFolder, check_wild_folder

TWO = {"train": 2, "test": 2}
ROBOFLOW_LIST = "Pixel Value, Class\n{}, sky\n{}, road\n"


def write_big_values(root: Path) -> None:
    make_writer()(root)
    labels = np.array([[0, 1], [1, 1000]], np.uint16).repeat(4, 0).repeat(4, 1)
    Image.fromarray(labels).save(root / "labels/train/train_a.png")


def write_negative_values(root: Path) -> None:
    mask = root / "labels/train/train_a.png"
    Image.fromarray(np.array([[0, 1], [1, -1]], np.int32).repeat(4, 0).repeat(4, 1)).save(mask.with_suffix(".tif"))
    mask.unlink()


def write_jpeg_in_tiff(root: Path) -> None:
    make_writer()(root)
    mask = root / "labels/train/train_a.png"
    Image.open(mask).save(mask.with_suffix(".tif"), compression="jpeg")
    mask.unlink()


def turn_half(root: Path) -> None:
    """Half a turn, or a quarter of a square: the labels fit before and after it."""
    tag = Image.Exif()
    tag[0x0112] = 3
    path = root / "images/test/test_a.jpg"
    Image.open(path).save(path, exif=tag)


def add_transparency(root: Path) -> None:
    path = root / "labels/train/train_a.png"
    Image.open(path).convert("LA").save(path)


def write_two_lists(root: Path) -> None:
    make_writer(image="{split}/{name}.jpg", mask="{split}/{name}_mask.png", list_name="")(root)
    write_text(root, "train/_classes.csv", ROBOFLOW_LIST.format(0, 1))
    write_text(root, "test/_classes.csv", ROBOFLOW_LIST.format(1, 0))


def write_voc_list(root: Path, name: str, text: str) -> None:
    write_voc(root, "mine/")
    write_text(root, "classes.txt", "sky\nroad\n")
    write_text(root, f"mine/ImageSets/Segmentation/{name}.txt", text)


CASES = [
    WildFolder(
        "16-bit labels above 255",
        "segfolder",
        write_big_values,
        refused=("label 1000", "number the labels within that, and save 8-bit files"),
    ),
    WildFolder(
        "32-bit labels below 0",
        "segfolder",
        then(make_writer(), write_negative_values),
        refused=("label -1", "number the labels within that, and save 8-bit files"),
    ),
    WildFolder(
        "a background that no pixel has",
        "segfolder",
        make_writer("background\nsky\nroad\n", rows=[[1, 2], [2, 1]]),
        refused=("class 'background'", "add --ignore 0; if your labels begin with 1"),
    ),
    WildFolder(
        "a background that no pixel has with --ignore 0",
        "segfolder",
        make_writer("background\nsky\nroad\n", rows=[[1, 2], [2, 1]]),
        {"ignore": [0]},
        splits=TWO,
    ),
    WildFolder(
        "a value that two --map give to two classes",
        "segfolder",
        make_writer(rows=[[0, 1], [1, 9]]),
        {"map": ["9=sky", "9=road"]},
        refused=("gives label 9 to 'road' and 'sky'", "leave one"),
    ),
    WildFolder(
        "JPEG data in a TIFF mask",
        "segfolder",
        write_jpeg_in_tiff,
        refused=("train_a.tif", "TIFF image with JPEG compression", "export the labels as .png"),
    ),
    WildFolder(
        "images turned by their tag whose size cannot tell",
        "segfolder",
        then(make_writer(), turn_half),
        splits=TWO,
        notes=("1 image turned by the EXIF tag, with label files that are not: look at test_a",),
    ),
    WildFolder(
        "two lists of classes that differ, in two splits",
        "segfolder",
        write_two_lists,
        refused=("list different classes", "--exclude train/_classes.csv"),
    ),
    WildFolder(
        "two lists of classes that differ, one left out",
        "segfolder",
        write_two_lists,
        {"exclude": ["train/_classes.csv"]},
        splits=TWO,
        notes=("_classes.csv: 2 classes (sky, road)",),
    ),
    WildFolder(
        "a list of VOC that names an image twice",
        "segfolder",
        lambda root: write_voc_list(root, "val", "val_a\nval_b\nval_a\n"),
        refused=("val.txt lists val_a twice", "take one line out"),
    ),
    WildFolder(
        "two folders of one split",
        "segfolder",
        make_writer(splits=("train", "val", "dev", "test")),
        refused=("images/dev and", "images/val both mean the val split", "--exclude images/val"),
    ),
    WildFolder(
        "label files of a split whose images are left out",
        "segfolder",
        make_writer(splits=("train", "val", "dev", "test")),
        {"exclude": ["images/val"]},
        refused=("labels/val/val_a.png has no image", "--exclude labels/val"),
    ),
    WildFolder(
        "one of two folders of a split left out",
        "segfolder",
        make_writer(splits=("train", "val", "dev", "test")),
        {"exclude": ["images/val", "labels/val"]},
        splits={"train": 2, "val": 2, "test": 2},
    ),
    WildFolder(
        "an empty list of VOC",
        "segfolder",
        lambda root: write_voc_list(root, "test", ""),
        refused=("test.txt lists no image", "--exclude mine/ImageSets/Segmentation/test.txt"),
    ),
    WildFolder(
        "a list of VOC without the name of a split",
        "segfolder",
        lambda root: write_voc_list(root, "mine", "train_a\n"),
        refused=("mine.txt is not named after a split", "train.txt, val.txt or test.txt", "--exclude mine/ImageSets"),
    ),
    WildFolder(
        "names that differ in their beginning",
        "segfolder",
        make_writer(image="images/{split}/img_{name}.jpg", mask="labels/{split}/lab_{name}.png"),
        refused=("has the folders and name of an image", "img_", "lab_", "rename the label files", "_mask"),
    ),
    WildFolder(
        "colours in classes.txt",
        "segfolder",
        make_writer("sky 10 20 30\nroad 128 64 128\n"),
        refused=("classes.txt has a colour in every line (sky 10 20 30)", "class_dict.csv"),
    ),
    WildFolder(
        "numbers at the end of names",
        "segfolder",
        make_writer("lane 1 2\nroad\n"),
        splits=TWO,
        notes=("2 classes (lane 1 2, road)",),
    ),
    WildFolder(
        "a mask with transparency",
        "segfolder",
        then(make_writer(), add_transparency),
        refused=("train_a.png has a channel of transparency (LA)", "save it without one"),
    ),
    WildFolder(
        "a table of ADE20K's that is left out",
        "segfolder",
        then(make_writer(), lambda root: write_text(root, "objectInfo150.txt", "Idx Ratio\n1 0.5 wall\n")),
        {"exclude": ["objectInfo150.txt"]},
        splits=TWO,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_folder_is_used_or_its_refusal_has_a_cure_that_works(case: WildFolder, tmp_path: Path) -> None:
    check_wild_folder(case, tmp_path)
