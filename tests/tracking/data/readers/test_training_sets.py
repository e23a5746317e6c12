"""The training sets as OSTrack keeps and splits them: GOT-10k's lists of indices, and COCO's two folders of images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from foundation.errors import DataError
from tracking import training_sets
from tracking.data.readers import got10k_splits
from tracking.data.readers.got10k_splits import Got10kChoice, IndexList, digest_indices, select_split_names
from tracking.data.readers.others import read_coco_stills
from tracking.protocols import load_protocol_recipe
from tracking.training_sets import describe_training_sets, find_lasot_root, list_missing_training

NAMES = [f"GOT-10k_Train_{number:06d}" for number in range(1, 7)]
INDICES = [4, 0, 3]


@pytest.fixture
def got10k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GOT-10k of six sequences, of which the split ``vottrain`` lists three."""
    monkeypatch.setattr(got10k_splits, "GOT10K_TRAIN_SEQUENCES", len(NAMES))
    known = IndexList("got10k_vot_train_split.txt", len(INDICES), digest_indices(INDICES))
    monkeypatch.setitem(got10k_splits.INDEX_LISTS, "vottrain", known)
    root = tmp_path / "got10k"
    (root / "train").mkdir(parents=True)
    return root


def write_list(path: Path, indices: list[int]) -> Path:
    path.write_text("".join(f"{index}\n" for index in indices))
    return path


def test_positions_count_from_0_in_the_order_of_the_list(got10k: Path, tmp_path: Path) -> None:
    write_list(got10k / "got10k_vot_train_split.txt", INDICES)
    vottrain = Got10kChoice("vottrain")
    assert select_split_names(NAMES, vottrain, got10k) == [NAMES[0], NAMES[3], NAMES[4]]
    assert select_split_names(NAMES, Got10kChoice(), got10k) == NAMES
    # the same list from elsewhere, in another order
    other = write_list(tmp_path / "mine.txt", sorted(INDICES))
    (got10k / "got10k_vot_train_split.txt").unlink()
    elsewhere = Got10kChoice("vottrain", other)
    assert select_split_names(NAMES, elsewhere, got10k) == [NAMES[0], NAMES[3], NAMES[4]]


def test_no_list_is_replaced_by_another_one(got10k: Path) -> None:
    vottrain = Got10kChoice("vottrain")
    with pytest.raises(DataError, match=r"needs OSTrack's list got10k_vot_train_split\.txt.*botaoye/OSTrack"):
        select_split_names(NAMES, vottrain, got10k)
    listing = got10k / "got10k_vot_train_split.txt"
    for wrong in (INDICES[:2], [4, 0, 2], [4, 0, 3, 3]):
        write_list(listing, wrong)
        with pytest.raises(DataError, match=f"has {len(wrong)} numbers and is not OSTrack's"):
            select_split_names(NAMES, vottrain, got10k)
    listing.write_text("GOT-10k_Train_000001")
    with pytest.raises(DataError, match="not a position"):
        select_split_names(NAMES, vottrain, got10k)
    write_list(listing, INDICES)
    with pytest.raises(DataError, match=r"names 5 sequences, GOT-10k's has 6.*got10k_split=train_full"):
        select_split_names(NAMES[:5], vottrain, got10k)
    with pytest.raises(DataError, match="train_full uses every sequence"):
        select_split_names(NAMES, Got10kChoice("train_full", listing), got10k)


def test_ostracks_protocols_train_on_vottrain_and_the_path_of_the_list_is_not_in_the_id() -> None:
    for name in ("ostrack256", "ostrack256_ce", "ostrack384"):
        recipe = load_protocol_recipe(name, ["got10k_list=~/a.txt"])
        assert recipe.identity_settings()["got10k_split"] == "vottrain"
        assert recipe.got10k_choice().index_file == Path("~/a.txt").expanduser()
        assert "got10k_list" not in recipe.identity_settings()
    # ids of the other protocols stay
    assert "got10k_split" not in load_protocol_recipe("fast128").identity_settings()


def write_coco(root: Path, place: str) -> None:
    for number, name in enumerate(("a.jpg", "b.jpg")):
        (root / place).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / place / name), np.full((80, 90, 3), 40 + number, np.uint8))
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 9, "bbox": [1, 2, 60, 70], "iscrowd": 0}],
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content))


def test_coco_as_ostrack_keeps_it_is_the_same_training_set(tmp_path: Path) -> None:
    recipe = load_protocol_recipe("fast128", ["dataset_weights.photos=0", "dataset_weights.coco=1"])
    found = []
    for root, place in ((tmp_path / "plain", "train2017"), (tmp_path / "ostrack", "images/train2017")):
        write_coco(root / "coco", place)
        assert read_coco_stills(root / "coco")[0].read_frame(0).shape == (80, 90, 3)
        found.append(describe_training_sets(recipe, root)["coco"].fingerprint)
    assert found[0] == found[1]


def test_two_folders_of_coco_must_be_equal(tmp_path: Path) -> None:
    write_coco(tmp_path, "train2017")
    shutil.copytree(tmp_path / "train2017", tmp_path / "images" / "train2017")
    assert read_coco_stills(tmp_path).folder == tmp_path / "train2017"
    (tmp_path / "images" / "train2017" / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"are different sets of images, for example in b\.jpg"):
        read_coco_stills(tmp_path)


def test_a_training_set_is_found_in_another_case_or_in_a_folder_around_it(tmp_path: Path) -> None:
    recipe = load_protocol_recipe("fast128", ["dataset_weights.photos=0", "dataset_weights.coco=1"])
    found = set()
    for number, place in enumerate(("coco", "COCO", "MSCOCO/coco")):
        root = tmp_path / str(number)
        (root / "other").mkdir(parents=True)  # the root holds more than the set
        write_coco(root / place, "train2017")
        found.add(describe_training_sets(recipe, root)["coco"].fingerprint)
    assert len(found) == 1


def test_lasot_is_found_in_another_case(tmp_path: Path) -> None:
    assert find_lasot_root(tmp_path) == tmp_path
    for place in ("LASOT", "lasot/LaSOTBenchmark"):
        (tmp_path / place / "airplane").mkdir(parents=True)
        (tmp_path / place / "testing_set.txt").write_text("airplane-1")
        assert find_lasot_root(tmp_path) == tmp_path / place
        shutil.rmtree(tmp_path / place.split("/", maxsplit=1)[0])


def test_an_incomplete_training_set_is_named_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_coco(tmp_path / "coco", "train2017")
    recipe = load_protocol_recipe("fast128", ["dataset_weights.coco=1"])
    says = "training set coco has 2 of 118,287 images, which is another training set"
    assert list_missing_training(recipe, tmp_path) == (says,)
    monkeypatch.setattr(training_sets, "COCO_TRAIN_IMAGES", 2)
    assert list_missing_training(recipe, tmp_path) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [('"image_id": 1', '"image_id": 2'), ('"file_name": "1.jpg"', '"file_name": 1'), ("60.0", "Infinity")],
)
def test_a_damaged_file_of_coco_is_a_sentence(old: str, new: str, tmp_path: Path) -> None:
    text = (
        '{"images": [{"id": 1, "file_name": "1.jpg"}], '
        '"annotations": [{"image_id": 1, "iscrowd": 0, "bbox": [1, 2, 60.0, 55]}]}'
    )
    path = tmp_path / "annotations" / "instances_train2017.json"
    path.parent.mkdir()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=r"instances_train2017\.json is not COCO's file of instances"):
        read_coco_stills(tmp_path)
