"""A user's own folder: COCO json files, YOLO labels, VOC xml files; by hand-computed boxes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detection.data.own_folder.read_folder import read_cocofolder
from foundation.errors import DataError
from tests.detection.data.coco_files import make_content, write_picture


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_yolo(root: Path) -> None:
    for number, split in enumerate(("train", "train", "val")):
        write_picture(root / "images" / split / f"{number}.jpg", number)
    # center (20, 10), size 20 x 10 of 40 x 20 px; an outline; image 1 has no label file
    write_text(root / "labels/train/0.txt", "1 0.5 0.5 0.5 0.5\n0 0.1 0.1 0.2 0.1 0.2 0.3\n")
    write_text(root / "labels/val/2.txt", "0 0.25 0.5 0.1 0.2\n\n")
    write_text(root / "data.yaml", "train: ../elsewhere\nnames: {0: cat, 1: dog}\n")


def make_voc(root: Path, box: str = "<xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>11</ymax>") -> None:
    for number in range(3):
        write_picture(root / f"JPEGImages/{number}.jpg", number)
        hard = f"<difficult>{int(number == 1)}</difficult>"
        body = f"<object><name>dog</name>{hard}<bndbox>{box}</bndbox></object>"
        write_text(root / f"Annotations/{number}.xml", f"<annotation>{body}</annotation>")
    write_text(root / "ImageSets/Main/train.txt", "0\n1\n")
    write_text(root / "ImageSets/Main/trainval.txt", "0\n1\n2\n")
    write_text(root / "ImageSets/Main/val.txt", "2\n")


def make_coco(root: Path) -> None:
    for split, name in (("train", "instances_train.json"), ("val", "instances_val.json")):
        write_text(root / "annotations" / name, json.dumps(make_content()))
        for number in (9, 4, 6):
            write_picture(root / "images" / split / f"{number}.png", number + len(split))


def test_yolo_labels_by_hand(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    found = read_cocofolder(tmp_path)
    assert [tuple(each) for each in found.categories] == [(1, "cat"), (2, "dog")]
    train, test = found.splits["train"], found.splits["test"]
    assert [len(train), len(test)] == [2, 1] and train.annotations.ids.tolist() == [1, 2]
    np.testing.assert_allclose(train.annotations.boxes, [[10, 5, 20, 10], [4, 2, 4, 4]])
    np.testing.assert_allclose(test.annotations.boxes, [[8, 8, 4, 4]])
    assert train.annotations.labels.tolist() == [1, 0] and not found.has_masks
    assert "1 images without a label file" in " ".join(found.notes)


def test_voc_counts_pixels_from_1_and_to_the_end(tmp_path: Path) -> None:
    make_voc(tmp_path)
    found = read_cocofolder(tmp_path)
    train = found.splits["train"].annotations
    assert train.boxes.tolist() == [[0, 1, 10, 10]] * 2
    assert train.is_crowd.tolist() == [False, True], "difficult ones are neither trained on nor missed"
    assert len(found.splits["test"]) == 1, "trainval is train and val together, and adds nothing"


def test_coco_files_are_read_by_split(tmp_path: Path) -> None:
    make_coco(tmp_path)
    write_picture(tmp_path / "images/val/extra.png")
    found = read_cocofolder(tmp_path)
    assert [len(found.splits[split]) for split in ("train", "test")] == [3, 3] and found.has_masks
    assert found.splits["test"].images[0].path == tmp_path / "images/val/4.png"
    assert "1 images are in no annotation file" in " ".join(found.notes)
    alone = read_cocofolder(tmp_path, test_only=True)
    assert list(alone.splits) == ["test"] and alone.splits["test"].images == found.splits["test"].images


def test_files_of_other_tasks_and_caches_are_left_alone(tmp_path: Path) -> None:
    """COCO ships captions and keypoints beside its instances; Ultralytics writes caches beside its labels."""
    make_coco(tmp_path / "coco")
    write_text(tmp_path / "coco/annotations/captions_train.json", "{}")
    assert "1 annotation files of other tasks" in " ".join(read_cocofolder(tmp_path / "coco").notes)
    make_yolo(tmp_path / "yolo")
    write_text(tmp_path / "yolo/labels/train.cache", "x")
    assert len(read_cocofolder(tmp_path / "yolo").splits["train"]) == 2
    for file in (tmp_path / "coco/annotations").glob("instances_*"):
        file.unlink()
    with pytest.raises(DataError, match="has no boxes; add the file of instances"):
        read_cocofolder(tmp_path / "coco")


def test_roboflows_tree_is_read(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write_text(tmp_path / split / "_annotations.coco.json", json.dumps(make_content()))
        for number in (9, 4, 6):
            write_picture(tmp_path / split / f"{number}.png", number + 10 * len(split))
    found = read_cocofolder(tmp_path)
    assert list(found.splits) == ["train", "val", "test"]
    assert found.splits["val"].images[0].path.parent.name == "valid"


def test_without_splits_a_fixed_fifth_is_the_test(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"{n}.png", "height": 20, "width": 40} for n in range(1, 11)]
    objects = [
        {"id": n, "image_id": n, "category_id": 2, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0} for n in range(1, 11)
    ]
    write_text(tmp_path / "labels.json", json.dumps(make_content(images=images, annotations=objects)))
    for number in range(1, 11):
        write_picture(tmp_path / f"{number}.png", number)
    first, again = read_cocofolder(tmp_path), read_cocofolder(tmp_path)
    assert len(first.splits["test"]) == 2 and first.splits["test"].images == again.splits["test"].images
    assert {image.id for split in first.splits.values() for image in split.images} == set(range(1, 11))


def test_a_turned_photograph_has_its_upright_size(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    picture = Image.open(tmp_path / "images/train/0.jpg")
    tag = Image.Exif()
    tag[274] = 6  # turned by 90 degrees
    picture.save(tmp_path / "images/train/0.jpg", exif=tag)
    image = read_cocofolder(tmp_path).splits["train"].images[0]
    assert (image.height, image.width) == (40, 20)


def change_file(name: str, text: str) -> Callable[[Path], Any]:
    return lambda root: write_text(root / name, text)


BAD_FOLDERS: list[tuple[str, Callable[[Path], None], Callable[[Path], Any], str]] = [
    ("pixels", make_yolo, change_file("labels/train/0.txt", "0 20 10 20 10"), "fractions of the image"),
    ("confidences", make_yolo, change_file("labels/train/0.txt", "0 .5 .5 .5 .5 .9"), "detections with a confidence"),
    ("an unknown class", make_yolo, change_file("labels/train/0.txt", "2 .5 .5 .5 .5"), "line 1 has the class 2"),
    ("words", make_yolo, change_file("labels/train/0.txt", "cat .5 .5 .5 .5"), "write numbers"),
    ("NaN", make_yolo, change_file("labels/train/0.txt", "0 nan .5 .5 .5"), "fractions of the image"),
    ("a class that is no number", make_yolo, change_file("labels/train/0.txt", "nan .5 .5 .5 .5"), "has the class nan"),
    ("an infinite class", make_yolo, change_file("labels/train/0.txt", "inf .5 .5 .5 .5"), "has the class inf"),
    ("a negative width", make_yolo, change_file("labels/train/0.txt", "0 .5 .5 -.005 .5"), "no negative sizes"),
    (
        "UTF-16",
        make_voc,
        lambda root: (root / "Annotations/0.xml").write_bytes("<!DOCTYPE a>".encode("utf-16")),
        "zero",
    ),
    ("an image of text", make_yolo, change_file("images/train/0.jpg", "no image"), r"images/train/0\.jpg"),
    ("a lonely label file", make_yolo, change_file("labels/train/7.txt", "0 .5 .5 .5 .5"), "has no image of that name"),
    ("no names", make_yolo, lambda root: (root / "data.yaml").unlink(), "no names of classes"),
    ("two lists", make_yolo, change_file("classes.txt", "a\nb\n"), "name other classes"),
    (
        "references in yaml",
        make_yolo,
        change_file("data.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nnames: *b\n"),
        "has references",
    ),
    ("deep yaml", make_yolo, change_file("data.yaml", "names: " + "[" * 900_000), "lists in lists in lists"),
    ("deep tables", make_yolo, change_file("data.yaml", "names: " + "{a: " * 200_000), "lists in lists in lists"),
    ("deep lines", make_yolo, change_file("data.yaml", "names: " + "- " * 400_000), "not valid YAML|lists in lists"),
    (
        "code in YAML",
        make_yolo,
        change_file("data.yaml", "names: !!python/object/apply:os.getcwd []"),
        "not valid YAML",
    ),
    ("two kinds", make_yolo, change_file("a.xml", "<annotation/>"), "VOC xml files and YOLO label files"),
    ("a document type", make_voc, change_file("Annotations/0.xml", "<!DOCTYPE a><annotation/>"), "a document type"),
    ("broken xml", make_voc, change_file("Annotations/0.xml", "<annotation>"), "is not valid xml"),
    ("xml without image", make_voc, change_file("Annotations/9.xml", "<annotation/>"), r"has no image 9\.\*"),
    (
        "two lists of a name",
        make_voc,
        change_file("ImageSets/Main/val.txt", "1\n2\n"),
        "lists 1, which is in train too",
    ),
    ("two files of a split", make_coco, change_file("train.json", "{}"), "are both of train"),
    (
        "images elsewhere",
        make_coco,
        lambda root: (root / "images/val/9.png").unlink(),
        "are not together in one folder",
    ),
    ("a strange file", make_coco, change_file("model.pth", "x"), "belongs to nothing that is read: model.pth"),
    ("nothing", lambda root: root.mkdir(exist_ok=True), lambda root: None, "found an empty folder"),
]


@pytest.mark.parametrize(("make", "change", "said"), [pytest.param(*case[1:], id=case[0]) for case in BAD_FOLDERS])
def test_a_wrong_folder_is_refused_with_a_sentence(
    tmp_path: Path, make: Callable[[Path], None], change: Callable[[Path], Any], said: str
) -> None:
    make(tmp_path)
    change(tmp_path)
    with pytest.raises(DataError, match=said) as error:
        read_cocofolder(tmp_path)
    assert "\n" not in str(error.value)


def test_a_box_of_voc_whose_ends_are_exchanged_is_refused(tmp_path: Path) -> None:
    make_voc(tmp_path, "<xmin>10</xmin><ymin>2</ymin><xmax>1</xmax><ymax>11</ymax>")
    with pytest.raises(DataError, match="maximum is below its minimum"):
        read_cocofolder(tmp_path)


@pytest.mark.parametrize(
    ("right", "said"), [("inf", "finite numbers"), ("990", "lies outside of its image of 40 x 20 px")]
)
def test_a_box_of_voc_outside_of_its_image_is_refused(tmp_path: Path, right: str, said: str) -> None:
    make_voc(tmp_path, f"<xmin>900</xmin><ymin>2</ymin><xmax>{right}</xmax><ymax>11</ymax>")
    with pytest.raises(DataError, match=said):
        read_cocofolder(tmp_path)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((40, 20), (20, 40)), ((0, 0), (20, 40)), ((80, 40), None), ((20, 40), None)],
    ids=["right", "zeros", "twice as large", "exchanged"],
)
def test_the_size_that_voc_states_must_be_that_of_the_image(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int] | None
) -> None:
    make_voc(tmp_path)
    file = tmp_path / "Annotations/0.xml"
    stated = f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>"
    file.write_text(file.read_text().replace("<annotation>", stated))
    if expected is None:
        with pytest.raises(DataError, match=rf"states {size[0]} x {size[1]} px .* has 40 x 20"):
            read_cocofolder(tmp_path)
    else:
        image = read_cocofolder(tmp_path).splits["train"].images[0]
        assert (image.height, image.width) == expected
