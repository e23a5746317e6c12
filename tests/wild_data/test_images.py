"""Folders of photographs as people have them: splits in any spelling, nested classes, loose files, one split."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.task import DataReport
from tests.wild_data.wild_folder import WildFolder, check_wild_folder

TASK = "imagefolder"


def write_image(path: Path) -> None:
    """A tiny image whose content follows from its path, so that no two are equal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = list("/".join(path.parts[-4:]).encode())
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_classes(root: Path, names: Iterable[str], each: int = 3) -> None:
    """Class folders of ``each`` images."""
    for name in names:
        for index in range(each):
            write_image(root / name / f"{name.rpartition('/')[2]}_{index}.png")


def write_splits(*splits: str, classes: Iterable[str] = ("cat", "dog")) -> Callable[[Path], None]:
    """A writer of splits that have the same classes."""

    def write(root: Path) -> None:
        for split in splits:
            write_classes(root / split, classes)

    return write


def add_files(write: Callable[[Path], None], *paths: str) -> Callable[[Path], None]:
    """A writer that also writes images, and other files as text."""

    def write_more(root: Path) -> None:
        write(root)
        for path in paths:
            if path.endswith((".png", ".jpg")):
                write_image(root / path)
            else:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text("text")

    return write_more


def write_lists(content: bytes) -> Callable[[Path], None]:
    """A writer of two splits and a class list."""

    def write(root: Path) -> None:
        write_splits("train", "test", classes=("cat", "dog", "café"))(root)
        (root / "classes.txt").write_bytes(content)

    return write


def write_copies(root: Path) -> None:
    """Class folders in which one image of a class has three copies."""
    write_classes(root, ("cat", "dog"), each=10)
    for index in range(3):
        shutil.copy(root / "cat" / "cat_0.png", root / "cat" / f"copy_{index}.png")


def write_two_labels(root: Path) -> None:
    """Class folders that have one image in two classes."""
    write_classes(root, ("cat", "dog"), each=4)
    shutil.copy(root / "cat" / "cat_0.png", root / "dog" / "again.png")


def have_classes(*names: str) -> Callable[[DataReport, Path], None]:
    """A check of the names of the classes and their order."""

    def check(report: DataReport, folder: Path) -> None:
        assert tuple(report.class_counts["test"]) == names

    return check


def have_no_copies(report: DataReport, folder: Path) -> None:
    """A check that no image is in two splits."""
    assert report.duplicates == ()


ALL = {"train": 6, "val": 6, "test": 6}
CUT = {"train": 4, "val": 2, "test": 6}
"""Two splits of six: val is cut from train."""


def write_emptied_class(root: Path) -> None:
    """A class folder that was emptied on a Mac, which leaves a file of its own."""
    write_splits("train", "test")(root)
    for split in ("train", "test"):
        (root / split / "emu").mkdir()
        (root / split / "emu" / ".DS_Store").write_text("text")


def write_linked_classes(root: Path) -> None:
    """Class folders of train that are links to a folder beside it."""
    write_splits("raw", "test")(root)
    (root / "train").mkdir()
    for name in ("cat", "dog"):
        (root / "train" / name).symlink_to(root / "raw" / name)


def write_linked_test(root: Path) -> None:
    """One class of test is a link to that of train."""
    write_splits("train", "test")(root)
    write_classes(root / "train", ("emu",))
    (root / "test" / "emu").symlink_to(root / "train" / "emu")


def have_shared_images(report: DataReport, folder: Path) -> None:
    """A check that images of test are known from train."""
    assert report.duplicates and "test/emu" in report.duplicates[0]


CASES = [
    WildFolder("emptied on a Mac", TASK, write_emptied_class, refused=("emu holds no image", "fill it or remove it")),
    WildFolder(
        "splits of unknown names",
        TASK,
        write_splits("trn", "tst"),
        refused=("trn has images in subfolders (cat, dog)", "if trn, tst are splits, rename them train, val and test"),
    ),
    WildFolder(
        "a folder for each split of each class",
        TASK,
        lambda root: write_classes(root, ("cats_train", "cats_test", "dogs_train", "dogs_test")),
        refused=("cats_test and dogs_test, which look like the test split of two classes", "test/cats and test/dogs"),
    ),
    WildFolder(
        "splits within classes",
        TASK,
        write_splits("cat", "dog", classes=("train", "test")),
        refused=("cat has images in subfolders (test, train), which are called like splits", "as train/cat"),
    ),
    WildFolder(
        "nested classes where nothing is nested",
        TASK,
        write_splits("train", "test"),
        options={"nested_classes": "leaf"},
        refused=("has images in subfolders, so that --nested-classes leaf changes nothing", "leave it out"),
    ),
    WildFolder("classes that are links", TASK, write_linked_classes, options={"exclude": ["raw"]}, splits=CUT),
    WildFolder(
        "a class of test that links to train",
        TASK,
        write_linked_test,
        splits={"train": 6, "val": 3, "test": 9},
        check=have_shared_images,
    ),
    WildFolder(
        "plain splits", TASK, write_splits("train", "val", "test"), splits=ALL, check=have_classes("cat", "dog")
    ),
    WildFolder(
        "Training and Testing",
        TASK,
        write_splits("Training", "Testing"),
        splits=CUT,
        notes=("splits: train is Training/, test is Testing/",),
    ),
    WildFolder(
        "upper case with VALID",
        TASK,
        write_splits("TRAIN", "VALID", "TEST"),
        splits=ALL,
        notes=("train is TRAIN/, val is VALID/, test is TEST/",),
    ),
    WildFolder(
        "train_set and test_set",
        TASK,
        write_splits("train_set", "test_set"),
        splits=CUT,
        notes=("splits: train is train_set/, test is test_set/",),
    ),
    WildFolder("trainset, devset and testset", TASK, write_splits("trainset", "devset", "testset"), splits=ALL),
    WildFolder("dev means val", TASK, write_splits("train", "dev", "test"), splits=ALL, notes=("val is dev/",)),
    WildFolder(
        "eval means val and is tested on",
        TASK,
        write_splits("train", "eval"),
        splits=CUT,
        notes=("val is eval/", "eval/ is the test split"),
    ),
    WildFolder(
        "Kaggle's intel images",
        TASK,
        write_splits("seg_train/seg_train", "seg_test/seg_test"),
        splits=CUT,
        notes=("train is seg_train/seg_train/", "test is seg_test/seg_test/"),
        check=have_classes("cat", "dog"),
    ),
    WildFolder(
        "Kaggle's intel images with seg_pred",
        TASK,
        add_files(write_splits("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred/10.jpg"),
        refused=("seg_pred", "--exclude seg_pred", "--layout classes"),
    ),
    WildFolder(
        "Kaggle's intel images without seg_pred",
        TASK,
        add_files(write_splits("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred/10.jpg"),
        options={"exclude": ["seg_pred"]},
        splits=CUT,
    ),
    WildFolder(
        "splits in a folder of the archive",
        TASK,
        add_files(write_splits("archive/train", "archive/test"), "__MACOSX/archive/train/cat/._cat_0.png"),
        splits=CUT,
        notes=("train is archive/train/",),
    ),
    WildFolder(
        "Kaggle's chest x-rays, twice in one archive",
        TASK,
        write_splits("chest/train", "chest/test", "train", "test"),
        refused=("chest", "--exclude chest"),
    ),
    WildFolder(
        "train2017 and val2017", TASK, write_splits("train2017", "val2017"), splits=CUT, notes=("val is val2017/",)
    ),
    WildFolder("two folders of one split", TASK, write_splits("train", "val", "valid"), refused=("--exclude valid",)),
    WildFolder(
        "vehicles with a class train",
        TASK,
        lambda root: write_classes(root, ("bus", "car", "train")),
        refused=("train looks like a split and bus, car do not", "--layout classes"),
    ),
    WildFolder(
        "vehicles with a class train, and the word",
        TASK,
        lambda root: write_classes(root, ("bus", "car", "train")),
        options={"layout": "classes"},
        splits={"train": 3, "val": 3, "test": 3},
        check=have_classes("bus", "car", "train"),
    ),
    WildFolder(
        "places with train stations",
        TASK,
        lambda root: write_classes(root, ("beach", "train_station")),
        splits={"train": 2, "val": 2, "test": 2},
    ),
    WildFolder(
        "splits that share no class",
        TASK,
        lambda root: (write_classes(root / "train", ("a", "b")), write_classes(root / "test", ("c", "d"))),
        refused=("no class folder in common", "--layout splits", "--layout classes"),
    ),
    WildFolder(
        "splits that share no class, and the word",
        TASK,
        lambda root: (write_classes(root / "train", ("a", "b")), write_classes(root / "test", ("c", "d"))),
        options={"layout": "splits"},
        refused=("c is a class that train does not have", "make the classes of the splits agree"),
    ),
    WildFolder(
        "a class in other letters",
        TASK,
        lambda root: (write_classes(root / "train", ("cat", "dog")), write_classes(root / "test", ("Cat", "dog"))),
        refused=("Cat is a class that train does not have (it has cat", "make the classes"),
    ),
    WildFolder(
        "a class with an accent from a Mac",
        TASK,
        lambda root: (
            write_classes(root / "train", ("caf\u00e9", "dog")),
            write_classes(root / "test", ("cafe\u0301", "dog")),
        ),
        refused=("is a class that train does not have", "NFC and NFD", "make the classes"),
    ),
    WildFolder(
        "a test split without labels",
        TASK,
        add_files(write_splits("train", "val"), "test/1.jpg", "test/2.jpg"),
        refused=("test holds 2 images and no class folders", "--exclude test"),
    ),
    WildFolder(
        "a test split without labels and no val",
        TASK,
        add_files(write_splits("train"), "test/1.jpg", "test/2.jpg"),
        refused=("test holds 2 images and no class folders", "--data-root", "train"),
    ),
    WildFolder(
        "fruits with diseases below",
        TASK,
        lambda root: write_classes(root, ("apple/rot", "apple/scab", "pear/rot", "pear/rust"), each=4),
        refused=("apple has images in subfolders (rot, scab)", "--nested-classes path (apple/rot), leaf (rot) or top"),
    ),
    WildFolder(
        "fruits with diseases below, by path",
        TASK,
        lambda root: write_classes(root, ("apple/rot", "apple/scab", "pear/rot", "pear/rust"), each=4),
        options={"nested_classes": "path"},
        splits={"train": 8, "val": 4, "test": 4},
        notes=("--nested-classes path: 4 classes in 4 folders",),
        check=have_classes("apple/rot", "apple/scab", "pear/rot", "pear/rust"),
    ),
    WildFolder(
        "fruits with diseases below, by leaf",
        TASK,
        lambda root: write_classes(root, ("apple/rot", "apple/scab", "pear/rot", "pear/rust"), each=4),
        options={"nested_classes": "leaf"},
        splits={"train": 9, "val": 3, "test": 4},
        notes=("3 classes in 4 folders (rot is apple/rot and pear/rot)",),
        check=have_classes("rot", "rust", "scab"),
    ),
    WildFolder(
        "fruits with diseases below, by top",
        TASK,
        lambda root: write_classes(root, ("apple/rot", "apple/scab", "pear/rot", "pear/rust"), each=4),
        options={"nested_classes": "top"},
        splits={"train": 10, "val": 2, "test": 4},
        check=have_classes("apple", "pear"),
    ),
    WildFolder(
        "Tiny ImageNet's train",
        TASK,
        lambda root: write_classes(root, ("n01/images", "n02/images")),
        refused=("n01 has images in subfolders (images)", "--nested-classes top"),
    ),
    WildFolder(
        "the folder above",
        TASK,
        lambda root: write_classes(root / "photos", ("cat", "dog")),
        refused=("holds the folder photos alone, which has the folders cat, dog", "--data-root"),
    ),
    WildFolder(
        "train alone",
        TASK,
        write_splits("train"),
        refused=("neither test/ nor val/", "name train/ itself", "--data-root"),
    ),
    WildFolder("test alone", TASK, write_splits("test"), refused=("has test/ and no train/", "--data-root")),
    WildFolder(
        "one class", TASK, lambda root: write_classes(root, ("cat",)), refused=("one class only (cat)", "above")
    ),
    WildFolder(
        "images and no folders",
        TASK,
        add_files(lambda root: None, "cat.1.jpg", "dog.1.jpg"),
        refused=("holds 2 images and no class folders", "one folder per class", "--labels FILE"),
    ),
    WildFolder(
        "loose images beside class folders",
        TASK,
        add_files(lambda root: write_classes(root, ("cat", "dog")), "new_0.jpg", "new_1.jpg"),
        refused=("new_0.jpg, new_1.jpg", "sort the loose images into class folders", "--exclude"),
    ),
    WildFolder(
        "files of tools and systems",
        TASK,
        add_files(
            write_splits("train", "test"),
            *("Thumbs.db", "train/.DS_Store", "train/cat/._cat_0.png", "README.md", "LICENSE"),
            *("train/cat/.ipynb_checkpoints/cat_0-checkpoint.png", "test/dog/desktop.ini"),
        ),
        splits=CUT,
    ),
    WildFolder(
        "a file that is nothing",
        TASK,
        add_files(write_splits("train", "test"), "train/cat/labels.txt"),
        refused=("train/cat/labels.txt", "--exclude train/cat/labels.txt"),
    ),
    WildFolder(
        "a file whose name looks like a pattern, left out",
        TASK,
        add_files(write_splits("train", "test"), "train/cat/copy [1].txt"),
        options={"exclude": ["train/cat/copy [1].txt"]},
        splits=CUT,
    ),
    WildFolder(
        "a test split that is a link to train",
        TASK,
        lambda root: (write_splits("train", "val")(root), (root / "test").symlink_to("train")),
        refused=("train and", "test are one folder", "its own images"),
    ),
    WildFolder(
        "a hidden image",
        TASK,
        add_files(write_splits("train", "test"), "train/cat/.cat_9.png"),
        refused=("train/cat/.cat_9.png", "--exclude"),
    ),
    WildFolder(
        "a table beside class folders",
        TASK,
        add_files(write_splits("train", "test"), "train.csv"),
        refused=("train.csv", "--labels train.csv", "--exclude train.csv"),
    ),
    WildFolder(
        "images in a raw format",
        TASK,
        add_files(write_splits("train", "test"), "train/cat/0.dng"),
        refused=("train/cat/0.dng", "convert it to .png", "--exclude"),
    ),
    WildFolder(
        "an empty class folder",
        TASK,
        lambda root: (write_splits("train", "test")(root), (root / "train" / "fox").mkdir()),
        refused=("fox holds no image", "fill it or remove it"),
    ),
    WildFolder(
        "an empty split",
        TASK,
        lambda root: (write_splits("train", "val")(root), (root / "test").mkdir()),
        refused=("test holds no image", "fill it or remove it"),
    ),
    WildFolder(
        "class folders alone",
        TASK,
        lambda root: write_classes(root, ("cat", "dog"), each=10),
        splits={"train": 14, "val": 2, "test": 4},
        notes=("no test split found: it is a fixed fifth of each class, chosen by content",),
    ),
    WildFolder(
        "copies of one image", TASK, write_copies, splits={"train": 15, "val": 3, "test": 5}, check=have_no_copies
    ),
    WildFolder(
        "one image in two classes",
        TASK,
        write_two_labels,
        refused=("cat/cat_0.png and dog/again.png", "two labels, cat and dog", "--exclude"),
    ),
    WildFolder(
        "a class list of Windows",
        TASK,
        write_lists("\ufeffdog\r\ncat\r\ncafé\r\n".encode()),
        splits={"train": 6, "val": 3, "test": 9},
        check=have_classes("dog", "cat", "café"),
    ),
    WildFolder(
        "a class list in Latin-1",
        TASK,
        write_lists("dog\ncat\ncafé\n".encode("latin-1")),
        refused=("classes.txt is not UTF-8", "line 3", "iconv"),
    ),
    WildFolder(
        "a class list in UTF-16",
        TASK,
        write_lists("dog\ncat\ncafé\n".encode("utf-16")),
        refused=("classes.txt is UTF-16", "iconv"),
    ),
    WildFolder(
        "a class list with a name twice",
        TASK,
        write_lists("dog\ncat\ncafé\ndog\n".encode()),
        refused=("classes.txt lists class 'dog' twice, in lines 1 and 4", "keep one"),
    ),
    WildFolder(
        "a class list with an accent from a Mac",
        TASK,
        write_lists("dog\ncat\ncafe\u0301\n".encode()),
        refused=("classes.txt and the class folders write the accents of café in two forms", "copy the names"),
    ),
    WildFolder(
        "a class list without a class",
        TASK,
        write_lists(b"dog\ncat\n"),
        refused=("classes.txt and the class folders differ: café", "list each folder once"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wild_image_folders(case: WildFolder, tmp_path: Path) -> None:
    check_wild_folder(case, tmp_path)
