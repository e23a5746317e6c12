"""COCO's layout is found as people keep it; what does not fit together is refused before a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detection.data.annotation_file import read_annotations
from detection.data.checks import check_detection_data
from detection.data.coco_layout import COCO_CATEGORIES, compare_official_annotations, read_coco, read_coco_folder
from detection.data.dataset import DetectionTestDataset, DetectionTrainDataset, list_training_images
from detection.recipe import DetectionRecipe
from engine.task import DecodeLevel
from foundation.errors import DataError

RECIPE = {
    "iterations": 1,
    "batch_size": 2,
    "optimizer": {"name": "AdamW", "lr": 1e-4},
    "schedule": {"name": "step"},
    "size": 32,
}


@pytest.fixture(autouse=True)
def cache_here(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the digests of files out of the cache of whoever runs the tests."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def make_object(number: int, image: int, **changes: Any) -> dict[str, Any]:
    outline = [[2, 3, 12, 3, 12, 8, 2, 8]]
    fields = {"category_id": 5, "bbox": [2, 3, 10, 5], "area": 50, "iscrowd": 0, "segmentation": outline}
    return {"id": number, "image_id": image, **fields, **changes}


def write_split(folder: Path, official: str, place: str, objects: list[dict[str, Any]], first: int) -> None:
    """Write three images of 20 x 40 px (height, width) and their annotation file."""
    images = [{"id": n, "file_name": f"{n}.png", "height": 20, "width": 40} for n in range(first, first + 3)]
    (folder / place).mkdir(parents=True, exist_ok=True)
    for image in images:
        pixels = np.random.default_rng(image["id"]).integers(0, 256, (20, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / place / str(image["file_name"]))
    (folder / "annotations").mkdir(exist_ok=True)
    content = {"images": images, "annotations": objects, "categories": [{"id": 5, "name": "a"}, {"id": 9, "name": "b"}]}
    (folder / "annotations" / f"instances_{official}.json").write_text(json.dumps(content))


def make_coco(folder: Path, place: str = "") -> Path:
    """Write both splits; image 2 of train has a crowd alone, image 3 nothing."""
    crowd = make_object(2, 2, iscrowd=1, segmentation={"size": [20, 40], "counts": [60, 100, 640]})
    write_split(folder, "train2017", f"{place}train2017", [make_object(1, 1), crowd], 1)
    write_split(folder, "val2017", f"{place}val2017", [make_object(1, 11)], 11)
    return folder


@pytest.mark.parametrize(("below", "place"), [("coco", ""), ("COCO2017", "images/"), ("", ""), ("mscoco", "images/")])
def test_layouts_that_people_have(tmp_path: Path, below: str, place: str) -> None:
    make_coco(tmp_path / below, place)
    found = read_coco(tmp_path)
    assert {split: len(each) for split, each in found.splits.items()} == {"train": 3, "test": 3}
    assert found.has_masks and found.splits["test"].images[0].path == tmp_path / below / f"{place}val2017/11.png"


def test_the_training_images_are_not_needed_to_test(tmp_path: Path) -> None:
    folder = make_coco(tmp_path / "coco")
    shutil.rmtree(folder / "train2017")
    assert list(read_coco(tmp_path, test_only=True).splits) == ["test"]
    with pytest.raises(DataError, match=r"unpack train2017\.zip"):
        read_coco(tmp_path)
    with pytest.raises(DataError, match=r"looked for coco/annotations/instances_val2017\.json"):
        read_coco(tmp_path / "elsewhere")


def test_the_categories_are_those_of_coco(tmp_path: Path) -> None:
    ids = [category.id for category in COCO_CATEGORIES]
    # the ids that COCO's paper lists and that its files do not use
    assert sorted(set(range(1, 91)) - set(ids)) == [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
    assert ids == sorted(ids) and len({category.name for category in COCO_CATEGORIES}) == 80
    found = compare_official_annotations(read_coco(make_coco(tmp_path)))
    assert found == (
        "train has 2 of 860,001 annotations",
        "test has 1 of 36,781 annotations",
        "2 categories other than the 80 of COCO",
    )


def test_another_number_of_images_is_a_deviation(tmp_path: Path) -> None:
    report = check_detection_data(read_coco(make_coco(tmp_path)), "all", {"train": 118_287, "test": 3})
    assert report.deviations == ("train has 3 of 118,287 images",) and report.splits == {"train": 3, "test": 3}
    assert "train: 2 objects (1 of them marked as a crowd) of 1 categories, 1 image without objects" in report.notes
    copy = check_detection_data(read_coco_folder(shutil.copytree(tmp_path, tmp_path / "copy"), "coco"), "none", None)
    assert copy.fingerprint == report.fingerprint, "the same files elsewhere are the same data"


def test_crowds_are_not_trained_on(tmp_path: Path) -> None:
    found = read_coco(make_coco(tmp_path))
    train = DetectionTrainDataset(found.splits["train"], DetectionRecipe.model_validate(RECIPE))
    assert list_training_images(found.splits["train"]) == train.indices == [0]
    np.random.seed(0)
    assert train[0].item == 0 and train[0].targets.labels.tolist() in ([0], [])


def test_test_images_are_pillows_bilinear_ones(tmp_path: Path) -> None:
    split = read_coco(make_coco(tmp_path)).splits["test"]
    sample = DetectionTestDataset(split, 30)[1]
    # 40 x 20 px to a longer side of 30
    small = Image.open(split.images[1].path).resize((30, 15), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(sample.image.permute(1, 2, 0).numpy(), np.asarray(small))
    assert sample.item == 1 and sample.original_size == (20, 40)


@pytest.mark.parametrize("tagged_size", [(20, 40), (40, 20)], ids=["as stored", "upright"])
def test_the_stated_size_says_whether_a_photograph_was_turned(tmp_path: Path, tagged_size: tuple[int, int]) -> None:
    folder = make_coco(tmp_path)
    # stored as 20 x 40 px; the tag turns it to 40 x 20
    picture, tag = Image.open(folder / "val2017/11.png"), Image.Exif()
    tag[274] = 6
    picture.save(folder / "val2017/11.png", exif=tag)
    file = folder / "annotations/instances_val2017.json"
    content = json.loads(file.read_text())
    content["images"][0] |= {"height": tagged_size[0], "width": tagged_size[1]}
    file.write_text(json.dumps(content))
    sample = DetectionTestDataset(read_coco(tmp_path, test_only=True).splits["test"], 40)[0]
    assert sample.original_size == tagged_size


@pytest.mark.parametrize("mode", ["L", "CMYK", "P"])
def test_other_kinds_of_images_become_rgb(tmp_path: Path, mode: str) -> None:
    folder = make_coco(tmp_path)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    Image.open(folder / "val2017/11.png").convert(mode).save(folder / "val2017/11.png", kind)
    sample = DetectionTestDataset(read_coco(tmp_path, test_only=True).splits["test"], 40)[0]
    assert tuple(sample.image.shape) == (3, 20, 40)


def save_other_size(folder: Path) -> None:
    Image.new("RGB", (41, 20)).save(folder / "val2017/12.png")


def make_crowds_alone(folder: Path) -> None:
    write_split(folder, "train2017", "train2017", [make_object(1, 1, iscrowd=1)], 1)


BAD_SETS = [
    ("another size", save_other_size, "41 x 20 px, and the annotations state 40 x 20"),
    ("an empty file", lambda folder: (folder / "val2017/12.png").write_bytes(b""), "cannot be decoded .0 bytes"),
    ("no image", lambda folder: (folder / "val2017/12.png").write_bytes(b"text" * 9), r"12\.png"),
    ("crowds alone", make_crowds_alone, "no single object with an area"),
    ("a missing image", lambda folder: (folder / "val2017/12.png").unlink(), r"1 of them are not in .*12\.png"),
]


@pytest.mark.parametrize(("damage", "said"), [pytest.param(*case[1:], id=case[0]) for case in BAD_SETS])
@pytest.mark.parametrize("decode", ["none", "all"])
def test_a_wrong_set_is_refused_with_a_sentence(tmp_path: Path, decode: DecodeLevel, damage: Any, said: str) -> None:
    damage(make_coco(tmp_path))
    with pytest.raises(DataError, match=said) as error:
        check_detection_data(read_coco(tmp_path), decode, None)
    assert "\n" not in str(error.value)


def test_an_image_in_two_splits_is_found(tmp_path: Path) -> None:
    folder = make_coco(tmp_path)
    shutil.copy(folder / "train2017/1.png", folder / "val2017/12.png")
    report = check_detection_data(read_coco(tmp_path), "none", None)
    assert report.duplicates and "train2017/1.png" in report.duplicates[0] and "val2017/12.png" in report.duplicates[0]


@pytest.mark.parametrize("far", [1e8, -1e8, 1e12, 81.0])
def test_polygons_far_outside_are_refused_before_they_are_filled(tmp_path: Path, far: float) -> None:
    """pycocotools would take the memory of the machine for them, and end the process."""
    write_split(
        tmp_path, "val2017", "val2017", [make_object(7, 11, area=None, segmentation=[[0, 0, far, 0, 0, 9]])], 11
    )
    with pytest.raises(DataError, match=r"annotation 7 has a polygon from .* far outside of its image of 40 x 20 px"):
        read_annotations(tmp_path / "annotations/instances_val2017.json", tmp_path / "val2017")
