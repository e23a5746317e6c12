"""Damaged annotation files of detection: COCO's json files, YOLO's labels and names, VOC's xml files."""

import json
from pathlib import Path

import pytest

from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case
from tests.bad_inputs.damage import IN_DATA_SAYS, TERABYTE_SAYS, damage_file, write_image
from tests.bad_inputs.test_files_images import check_data

CHECK = check_data("cocofolder")
XML = "<annotation><object><name>dog</name><bndbox>{}</bndbox></object></annotation>".format(
    "<xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax>"
)


def write_coco(folder: Path) -> None:
    for first, split in enumerate(("train", "test")):
        name = f"{first}.png"
        write_image(folder / split / name)
        box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}
        image = {"id": 1, "file_name": name, "width": 8, "height": 8}
        content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "dog"}]}
        (folder / split / "boxes.json").write_text(json.dumps(content))


def write_yolo(folder: Path) -> None:
    (folder / "data.yaml").write_text("names: [dog]\n")
    for number, split in enumerate(("train", "test")):
        write_image(folder / "images" / split / f"{number}.png")
        (folder / "labels" / split).mkdir(parents=True)
        (folder / "labels" / split / f"{number}.txt").write_text("0 .5 .5 .5 .5\n")


def write_voc(folder: Path) -> None:
    for number, split in enumerate(("train", "test")):
        write_image(folder / split / f"{number}.png")
        (folder / split / f"{number}.xml").write_text(XML)


JSON, LABELS, XML_FILE = "train/boxes.json", "labels/train/0.txt", "train/0.xml"
KINDS = ("zeros", "garbage", "cut off", "a picture", "a web page", "deep", "escapes", "UTF-16", "empty")

CASES = [
    *damage_file(
        "COCO json", CHECK, JSON, write_coco, {**dict.fromkeys(KINDS, JSON), **IN_DATA_SAYS, **TERABYTE_SAYS}
    ),
    *damage_file(
        "YOLO labels", CHECK, LABELS, write_yolo, {**dict.fromkeys(KINDS[:-1], LABELS), **IN_DATA_SAYS, **TERABYTE_SAYS}
    ),
    *damage_file(
        "YOLO names", CHECK, "data.yaml", write_yolo,
        {**dict.fromkeys(KINDS, "data.yaml"), **IN_DATA_SAYS, **TERABYTE_SAYS},
    ),
    *damage_file(
        "VOC xml", CHECK, XML_FILE, write_voc, {**dict.fromkeys(KINDS, XML_FILE), **IN_DATA_SAYS, **TERABYTE_SAYS}
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_damaged_annotations(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
