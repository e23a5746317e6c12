"""Tables of file, label and split as people have them: Kaggle's, Hugging Face's, spreadsheets'."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from engine.task import DataReport
from tests.wild_data.test_images import write_classes, write_image
from tests.wild_data.wild_folder import WildFolder, check_wild_folder

TASK = "imagefolder"
NAMES = [f"{index:03d}" for index in range(12)]
BREEDS = ["pug", "beagle"] * 6
"""Twelve images of two classes, in turn."""

SPLITS = ["train"] * 6 + ["valid"] * 2 + ["test"] * 4
LABELS = {"labels": "labels.csv"}
CUT = {"train": 8, "val": 2, "test": 2}


def write_images(root: Path, names: Iterable[str] = NAMES, folder: str = "train", suffix: str = ".jpg") -> None:
    """Images without class folders."""
    for name in names:
        write_image(root / folder / f"{name}{suffix}")


def write_csv(path: Path, header: str, *columns: Sequence[object], separator: str = ",") -> None:
    """A table with these columns."""
    lines = [header, *(separator.join(map(str, cells)) for cells in zip(*columns, strict=True))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_kaggle(header: str = "id,breed", *columns: Sequence[object]) -> Callable[[Path], None]:
    """A writer of ``train/ID.jpg`` and ``labels.csv``."""

    def write(root: Path) -> None:
        write_images(root)
        write_csv(root / "labels.csv", header, *(columns or (NAMES, BREEDS)))

    return write


def write_rows(*rows: str) -> Callable[[Path], None]:
    """A writer of Kaggle's folder with rows of its own at the end of the table."""

    def write(root: Path) -> None:
        write_kaggle()(root)
        with (root / "labels.csv").open("a") as file:
            file.write("\n".join(rows) + "\n")

    return write


def write_hugging_face(root: Path, columns: Mapping[str, str] | None = None) -> None:
    """``metadata.jsonl`` in each split, as ``ImageFolder`` of Hugging Face reads it."""
    for split, number in (("train", 0), ("test", 6)):
        rows = []
        for index in range(number, number + 6):
            write_image(root / split / f"{index}.png")
            rows.append({"file_name": f"{index}.png", **(columns or {"label": BREEDS[index]})})
        (root / split / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def write_hidden_test(root: Path) -> None:
    """Kaggle's folder with images whose labels are secret."""
    write_kaggle()(root)
    write_images(root, ("900", "901"), "test")
    (root / "sample_submission.csv").write_text("id,beagle,pug\n900,0.5,0.5\n")


def write_json(root: Path) -> None:
    """A label by file name."""
    write_images(root)
    labels = {f"{name}.jpg": breed for name, breed in zip(NAMES, BREEDS, strict=True)}
    (root / "labels.json").write_text(json.dumps(labels))


def write_parquet(root: Path) -> None:
    """The table of pandas, numbers with names beside them."""
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    write_images(root)
    columns = {"image_id": NAMES, "label": [BREEDS.index(name) for name in BREEDS], "class_name": BREEDS}
    parquet.write_table(pyarrow.table(columns), root / "labels.parquet")


def write_listed_numbers(numbers: Sequence[int]) -> Callable[[Path], None]:
    """A writer of a table of numbers with a class list."""

    def write(root: Path) -> None:
        write_kaggle("file,label", NAMES, numbers)(root)
        (root / "classes.txt").write_text("pug\nbeagle\n")

    return write


def write_twins(root: Path) -> None:
    """One image under two names and labels."""
    write_kaggle()(root)
    shutil.copy(root / "train" / "000.jpg", root / "train" / "001.jpg")


def write_two_places(root: Path) -> None:
    """Images of one name in two folders."""
    for folder in ("a", "b"):
        write_images(root, folder=folder)
    write_csv(root / "labels.csv", "file,label", NAMES, BREEDS)


def have_classes(*names: str) -> Callable[[DataReport, Path], None]:
    """A check of the names of the classes and their order."""

    def check(report: DataReport, folder: Path) -> None:
        assert tuple(report.class_counts["test"]) == names

    return check


def write_pixels_in_parquet(root: Path) -> None:
    """A data set as Hugging Face serves it: the images in the table."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    write_classes(root, ("a", "b"))
    images = [{"bytes": path.read_bytes(), "path": path.name} for path in sorted(root.rglob("*.png"))]
    parquet.write_table(pyarrow.table({"image": images, "label": [0] * 3 + [1] * 3}), root / "labels.parquet")


def write_contradiction(root: Path) -> None:
    """Class folders, and a table beside them that says otherwise of one image."""
    write_classes(root, ("a", "b"))
    names = [f"{name}/{name}_{index}.png" for name in "ab" for index in range(3)]
    write_csv(root / "metadata.csv", "file_name,label", names, ["a", "a", "b", "b", "b", "b"])


def write_twice_in_json(root: Path) -> None:
    """An object of labels in which one image has two."""
    write_images(root)
    rows = [f'"train/{name}.jpg": "{breed}"' for name, breed in zip(NAMES, BREEDS, strict=True)]
    (root / "labels.json").write_text("{" + ", ".join([*rows, '"train/000.jpg": "beagle"']) + "}")


CASES = [
    WildFolder(
        "images in a parquet table",
        TASK,
        write_pixels_in_parquet,
        options={"labels": "labels.parquet"},
        refused=("labels.parquet holds the images themselves, in its column image", "save each as a file"),
    ),
    WildFolder(
        "metadata.csv against its folders",
        TASK,
        write_contradiction,
        refused=("metadata.csv has the label b for a/a_2.png", "--labels metadata.csv", "--exclude metadata.csv"),
    ),
    WildFolder(
        "metadata.csv against its folders, named",
        TASK,
        write_contradiction,
        options={"exclude": ["metadata.csv"]},
        splits={"train": 2, "val": 2, "test": 2},
    ),
    WildFolder(
        "one image twice in a JSON object",
        TASK,
        write_twice_in_json,
        options={"labels": "labels.json"},
        refused=("labels.json has 'train/000.jpg' twice", "keep one"),
    ),
    WildFolder(
        "a split as is_train",
        TASK,
        write_kaggle("id,label,is_train", NAMES, BREEDS, [1] * 8 + [0] * 4),
        options=LABELS,
        refused=("labels.csv has the column is_train", "write a column split with train, val and test"),
    ),
    WildFolder(
        "a table and an option of class folders",
        TASK,
        write_kaggle(),
        options={**LABELS, "nested_classes": "top"},
        refused=("--nested-classes top is for class folders, and the labels are in", "labels.csv", "leave it out"),
    ),
    WildFolder(
        "labels of five thousand digits",
        TASK,
        write_kaggle("id,label", NAMES, ["9" * 5000, "3"] * 6),
        options=LABELS,
        splits=CUT,
    ),
    WildFolder(
        "Kaggle's breeds",
        TASK,
        write_kaggle(),
        options=LABELS,
        splits=CUT,
        notes=("no test split found", "labels from labels.csv (columns id, breed)"),
        check=have_classes("beagle", "pug"),
    ),
    WildFolder(
        "a table with splits",
        TASK,
        write_kaggle("filename,class,split", [f"train/{name}.jpg" for name in NAMES], BREEDS, SPLITS),
        options=LABELS,
        splits={"train": 6, "val": 2, "test": 4},
        notes=("columns filename, class, split",),
    ),
    WildFolder(
        "a table with train and val",
        TASK,
        write_kaggle("image,label,set", NAMES, BREEDS, ["Training"] * 8 + ["Dev"] * 4),
        options=LABELS,
        splits={"train": 6, "val": 2, "test": 4},
        notes=("the part val of the table is the test split",),
    ),
    WildFolder(
        "a table of another machine, from a spreadsheet",
        TASK,
        lambda root: (
            write_images(root),
            write_csv(
                root / "labels.csv",
                "\ufeffPath;Class",
                [f"C:\\photos\\train\\{name}.jpg" for name in NAMES],
                BREEDS,
                separator=";",
            ),
        ),
        options=LABELS,
        splits=CUT,
    ),
    WildFolder(
        "a hidden test split",
        TASK,
        write_hidden_test,
        options=LABELS,
        refused=("sample_submission.csv, test/900.jpg", "give every image a row in labels.csv", "--exclude"),
    ),
    WildFolder(
        "a hidden test split, left out",
        TASK,
        write_hidden_test,
        options={**LABELS, "exclude": ["test", "sample_submission.csv"]},
        splits=CUT,
    ),
    WildFolder(
        "a damaged image left out, its row not",
        TASK,
        write_kaggle(),
        options={**LABELS, "exclude": ["train/003.jpg"]},
        splits={"train": 7, "val": 2, "test": 2},
        notes=("1 row of an image that --exclude leaves out",),
    ),
    WildFolder("JSON of file and label", TASK, write_json, options={"labels": "labels.json"}, splits=CUT),
    WildFolder(
        "parquet with numbers and names",
        TASK,
        write_parquet,
        options={"labels": "labels.parquet"},
        splits=CUT,
        check=have_classes("pug", "beagle"),
    )
    if importlib.util.find_spec("pyarrow")
    else WildFolder(
        "parquet without pyarrow",
        TASK,
        lambda root: (write_images(root), (root / "labels.parquet").write_bytes(b"PAR1")),
        options={"labels": "labels.parquet"},
        refused=("labels.parquet", "pip install pyarrow"),
    ),
    WildFolder(
        "Hugging Face's ImageFolder",
        TASK,
        write_hugging_face,
        splits={"train": 4, "val": 2, "test": 6},
        notes=("labels from metadata.jsonl", "splits by folder: train is train/, test is test/"),
    ),
    WildFolder(
        "Hugging Face's ImageFolder with captions",
        TASK,
        lambda root: write_hugging_face(root, {"text": "a dog", "source": "web"}),
        refused=("test/metadata.jsonl", "none of which is called label", "rename", "--exclude test/metadata.jsonl"),
    ),
    WildFolder(
        "numbers with a class list",
        TASK,
        write_listed_numbers([0, 1] * 6),
        options=LABELS,
        splits=CUT,
        check=have_classes("pug", "beagle"),
    ),
    WildFolder(
        "numbers from 1 with a class list",
        TASK,
        write_listed_numbers([1, 2] * 6),
        options=LABELS,
        refused=("labels 1 to 2", "classes.txt names the classes 0 to 1", "number the classes from 0"),
    ),
    WildFolder(
        "numbers in their order",
        TASK,
        write_kaggle("id,label", NAMES, [2, 10] * 6),
        options=LABELS,
        splits=CUT,
        check=have_classes("2", "10"),
    ),
    WildFolder(
        "a table without a header",
        TASK,
        write_kaggle("000.jpg,pug", [f"{name}.jpg" for name in NAMES[1:]], BREEDS[1:]),
        options=LABELS,
        refused=("labels.csv begins with an image", "add the first line file,label"),
    ),
    WildFolder(
        "a row without an image",
        TASK,
        write_rows("777,pug"),
        options=LABELS,
        refused=("1 of 13 rows of", "777 (line 14)", "remove the rows"),
    ),
    WildFolder(
        "a row without a label",
        TASK,
        write_rows("777,"),
        options=LABELS,
        refused=("line 14 of", "no label", "--exclude"),
    ),
    WildFolder(
        "an image with two labels",
        TASK,
        write_rows("000,beagle"),
        options=LABELS,
        refused=("line 2 and line 14 of", "train/000.jpg", "labels pug and beagle", "keep one row"),
    ),
    WildFolder(
        "a cell with two labels",
        TASK,
        write_kaggle("id,breed", NAMES, ["pug beagle", *BREEDS[1:]]),
        options=LABELS,
        splits=None,
        refused=("line 2 of", "several labels (pug beagle)", "keep one"),
    ),
    WildFolder(
        "a column for each class",
        TASK,
        write_kaggle("filename,beagle,pug", NAMES, [0, 1] * 6, [1, 0] * 6),
        options=LABELS,
        refused=("a column of 0 and 1 for each class (beagle, pug, ...)", "columns file and label"),
    ),
    WildFolder(
        "a measurement as the target",
        TASK,
        write_kaggle("id,target", NAMES, [index / 7 for index in range(12)]),
        options=LABELS,
        refused=("line 3 of", "a measurement and not a class", "column label"),
    ),
    WildFolder(
        "two columns that may be the label",
        TASK,
        write_kaggle("id,label,category", NAMES, BREEDS, BREEDS[::-1]),
        options=LABELS,
        refused=("the columns label, category", "keep one"),
    ),
    WildFolder(
        "two columns of one name",
        TASK,
        write_kaggle("id,Label,label", NAMES, BREEDS, BREEDS[::-1]),
        options=LABELS,
        refused=("the columns Label and label", "keep one"),
    ),
    WildFolder(
        "class folders with a table about the photographs",
        TASK,
        lambda root: (
            write_classes(root, ("a", "b"), each=6),
            write_csv(root / "metadata.csv", "camera,exposure", ["x"] * 2, [1, 2]),
        ),
        refused=("metadata.csv has the columns camera, exposure", "--exclude metadata.csv"),
    ),
    WildFolder(
        "options for folders beside a table",
        TASK,
        write_kaggle(),
        options={**LABELS, "nested_classes": "leaf"},
        refused=("labels.csv says the class of each image", "leave it out"),
    ),
    WildFolder(
        "a layout beside a table with splits",
        TASK,
        write_kaggle("id,label,split", NAMES, BREEDS, SPLITS),
        options={**LABELS, "layout": "splits"},
        refused=("labels.csv says the split of each image", "leave it out"),
    ),
    WildFolder(
        "a layout that is not there",
        TASK,
        write_kaggle(),
        options={**LABELS, "layout": "splits"},
        refused=("labels.csv has no column split", "--layout splits", "add the column"),
    ),
    WildFolder(
        "labels in other letters",
        TASK,
        write_kaggle("id,label", NAMES, ["Cat", "cat", "dog"] * 4),
        options=LABELS,
        splits={"train": 6, "val": 3, "test": 3},
        notes=("the classes Cat and cat differ in upper and lower case alone",),
        check=have_classes("Cat", "cat", "dog"),
    ),
    WildFolder(
        "splits by number",
        TASK,
        write_kaggle("id,label,split", NAMES, BREEDS, [0, 1] * 6),
        options=LABELS,
        refused=("line 2 of", "has 0 in the column split", "write train, val or test"),
    ),
    WildFolder(
        "one image under two labels",
        TASK,
        write_twins,
        options=LABELS,
        refused=("train/001.jpg and train/000.jpg", "two labels, beagle and pug", "--exclude"),
    ),
    WildFolder(
        "images of one name in two folders",
        TASK,
        write_two_places,
        options=LABELS,
        refused=("line 2 of", "a/000.jpg or b/000.jpg", "write the path"),
    ),
    WildFolder("no such table", TASK, write_kaggle(), options={"labels": "train.csv"}, refused=("train.csv", "check")),
    WildFolder(
        "a table in Latin-1",
        TASK,
        lambda root: (
            write_images(root),
            (root / "labels.csv").write_bytes("id,breed\n000,braque français\n".encode("latin-1")),
        ),
        options=LABELS,
        refused=("labels.csv is not UTF-8", "line 2", "iconv"),
    ),
    WildFolder(
        "splits and extra images in folders, one table",
        TASK,
        lambda root: (
            write_images(root, NAMES[:6], "train"),
            write_images(root, NAMES[6:9], "test"),
            write_images(root, NAMES[9:], "extra"),
            write_csv(root / "labels.csv", "id,label", NAMES, BREEDS),
        ),
        options=LABELS,
        refused=("no column split", "extra, test, train", "--layout classes"),
    ),
    WildFolder(
        "class folders and a table that says otherwise",
        TASK,
        lambda root: (
            write_classes(root, ("a", "b"), each=6),
            write_csv(
                root / "labels.csv",
                "file,label",
                [f"{name}/{name}_{index}.png" for name in "ab" for index in range(6)],
                BREEDS,
            ),
        ),
        options=LABELS,
        splits=CUT,
        check=have_classes("beagle", "pug"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wild_tables(case: WildFolder, tmp_path: Path) -> None:
    check_wild_folder(case, tmp_path)
