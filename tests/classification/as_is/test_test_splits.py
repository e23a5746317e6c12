"""The test split alone: read in the layouts that people have, without a training image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.evaluation.evaluate_model import EvaluationRequest, evaluate_model
from classification.data.readers.folders import read_imagefolder_test
from classification.image_tasks import IMAGE_TASKS
from engine.evaluation.model_source import ModelSource
from foundation.errors import DataError
from tests.classification.as_is import make
from tests.classification.data import make as data_make

FOLDER = IMAGE_TASKS["imagefolder"]


@pytest.mark.parametrize("split", ["", "val", "test"])
def test_layouts_of_a_folder(split: str, tmp_path: Path) -> None:
    make.write_class_folders(tmp_path / split, ["b", "a"], each=2)
    data = FOLDER.load_test_split(tmp_path)
    assert data.class_names == ("a", "b") and data.splits["test"].labels == [0, 0, 1, 1]
    assert list(data.splits) == ["test"]
    assert data.notes == (("no test split found: all images are tested",) if not split else ())


def test_test_goes_before_val_and_train_gives_the_classes(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("val", 1000), ("test", 2000)):
        make.write_class_folders(tmp_path / split, ["b", "a"], each=3, first=first)
    whole = FOLDER.load_data(tmp_path)
    alone = FOLDER.load_test_split(tmp_path)
    assert alone.splits["test"].labels == whole.splits["test"].labels
    assert alone.class_names == whole.class_names and alone.fingerprint != whole.fingerprint
    before = alone.fingerprint
    for path in sorted((tmp_path / "train").rglob("*.png")):
        path.write_bytes(b"other")
    assert FOLDER.load_test_split(tmp_path).fingerprint == before, "train is not read"
    shutil.rmtree(tmp_path / "test" / "b")
    with pytest.raises(DataError, match=r"class 'b' in .*train has no folder in .*test"):
        FOLDER.load_test_split(tmp_path)


def test_a_run_is_tested_on_its_own_part_of_class_folders(tmp_path: Path) -> None:
    make.write_class_folders(tmp_path, ["a", "b"], each=10)
    part = FOLDER.load_test_split(tmp_path, whole_folder=False)
    run = FOLDER.load_data(tmp_path)
    assert [part.splits["test"].images.get_relative_name(i) for i in part.splits["test"].indices] == [
        run.splits["test"].images.get_relative_name(i) for i in run.splits["test"].indices
    ]
    assert len(FOLDER.load_test_split(tmp_path).splits["test"].labels) == 20


@pytest.mark.parametrize("whole", [True, False])
def test_the_items_of_an_evaluation_are_listed_without_training_images(whole: bool, tmp_path: Path) -> None:
    """What ``bench verify`` compares the table with."""
    make.write_class_folders(tmp_path, ["a", "b"], each=10)
    data = FOLDER.load_test_split(tmp_path, whole_folder=whole)
    items = FOLDER.list_evaluated_items(tmp_path, data.fingerprint)
    assert items["label"] == data.splits["test"].labels and len(items["item"]) == (20 if whole else 4)
    make.write_class_folders(tmp_path / "imagenet" / "val", [make.TENCH, make.GOLDFISH], each=2)
    assert IMAGE_TASKS["imagenet"].list_evaluated_items(tmp_path, "")["label"] == [0, 0, 1, 1]


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        read_imagefolder_test(tmp_path / "nowhere", True)
    make.write_class_folders(tmp_path / "Train", ["a"], each=1)
    with pytest.raises(DataError, match="has Train/ and neither test/ nor val/"):
        read_imagefolder_test(tmp_path, True)


def test_a_test_split_may_have_another_spelling(tmp_path: Path) -> None:
    make.write_class_folders(tmp_path / "Testing", ["b", "a"], each=2)
    data = FOLDER.load_test_split(tmp_path)
    assert data.class_names == ("a", "b") and data.notes == ("splits: test is Testing/",)


def test_imagenet_needs_val_only(tmp_path: Path) -> None:
    make.write_class_folders(tmp_path / "imagenet" / "val", [make.GOLDFISH, make.TENCH], each=2)
    data = IMAGE_TASKS["imagenet"].load_test_split(tmp_path)
    assert data.class_names == (make.TENCH, make.GOLDFISH) and data.splits["test"].labels == [0, 0, 1, 1]
    assert data.deviations == (
        "test has 4 images where the official split has 50,000",
        "2 of 1000 classes have images",
    )
    make.write_class_folders(tmp_path / "imagenet" / "val", ["cat"], each=1)
    with pytest.raises(DataError, match="cat is not named by an ImageNet synset"):
        IMAGE_TASKS["imagenet"].load_test_split(tmp_path)


@pytest.mark.parametrize("task", ["flowers", "cifar10"])
def test_official_sets_have_the_test_items_of_a_run(task: str, tmp_path: Path) -> None:
    if task == "flowers":
        data_make.write_flowers(tmp_path)
    else:
        data_make.write_cifar10(tmp_path)
    found, whole = IMAGE_TASKS[task].load_test_split(tmp_path), IMAGE_TASKS[task].load_data(tmp_path)
    assert found.splits["test"].labels == whole.splits["test"].labels and found.class_names == whole.class_names
    assert found.duplicates == () and found.coverage == "the bytes of every file"


def test_pictures_show_the_images_of_the_evaluation(tmp_path: Path) -> None:
    root = make.write_class_folders(tmp_path / "data", ["a", "b"])
    file = make.save_model(tmp_path / "x.pth", make.make_model(2))
    source = ModelSource(backbone="vit_pico", checkpoint=file)
    done = evaluate_model(EvaluationRequest("imagefolder", source, data_root=root, out=tmp_path / "runs"))
    drawn = FOLDER.visualize_run(done.folder, done.record, root)
    assert sorted(item for picture in drawn for item in picture.entry.items) == list("012345")
    data_make.write_noise_image(root / "a" / "more.png", 99)
    with pytest.raises(DataError, match="are not those of the evaluation"):
        FOLDER.visualize_run(done.folder, done.record, root)


def test_other_test_images_are_another_board(tmp_path: Path) -> None:
    root = make.write_class_folders(tmp_path / "photos", ["a", "b"])
    file = make.save_model(tmp_path / "x.pth", make.make_model(2))
    before = make.open_folder(ModelSource(backbone="vit_pico", checkpoint=file), root)
    data_make.write_noise_image(root / "a" / "more.png", 99)
    after = make.open_folder(ModelSource(backbone="vit_pico", checkpoint=file), root)
    assert before.data.fingerprint != after.data.fingerprint and after.data.splits == {"test": 7}
