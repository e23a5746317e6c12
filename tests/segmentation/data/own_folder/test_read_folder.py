"""Pairs, splits, ids and label maps of own folders, against what the files say by hand."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.data_options import make_data_options
from foundation.errors import DataError
from foundation.run_scope import open_run_scope
from segmentation.data.files import read_label_map
from segmentation.data.label_summaries import summarize_labels
from segmentation.data.own_folder.file_roles import find_file_role
from segmentation.data.own_folder.read_folder import read_segfolder
from segmentation.tasks import CAMVID, SEGFOLDER
from tests.wild_data.test_masks import (
    CLASS_DICT,
    LABELMAP,
    ROAD,
    SKY,
    make_writer,
    write_image,
    write_mask,
    write_pairs,
)


def compute_fingerprint(root: Path) -> str:
    dataset = read_segfolder(root)
    return dataset.compute_fingerprint(dataset.hash_contents())


def test_the_fingerprint_of_a_plain_folder_is_what_it_always_was(tmp_path: Path) -> None:
    """Ids of earlier runs rest on these lines: the table of labels, the names, and both files of each pair."""
    make_writer(splits=("train", "val", "test"))(tmp_path)
    digest = hashlib.sha256(repr([0, 1] + [-1] * 253 + [255]).encode() + b"sky\nroad\n")
    for split in ("test", "train", "val"):
        for name in (f"{split}_a", f"{split}_b"):
            files = (tmp_path / "images" / split / f"{name}.jpg", tmp_path / "labels" / split / f"{name}.png")
            image, label = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
            digest.update(f"{split} {name} {image} {label}\n".encode())
    assert compute_fingerprint(tmp_path) == digest.hexdigest()


def test_another_folder_with_the_same_pairs_has_the_same_fingerprint(tmp_path: Path) -> None:
    make_writer()(tmp_path / "one")
    make_writer(image="{split}/img/{name}.jpg", mask="{split}/masks/{name}.png")(tmp_path / "two")
    assert compute_fingerprint(tmp_path / "one") != compute_fingerprint(tmp_path / "two"), "other images"
    for name in ("train", "test"):
        for file in sorted((tmp_path / "one/images" / name).iterdir()):
            (tmp_path / "two" / name / "img" / file.name).write_bytes(file.read_bytes())
    assert compute_fingerprint(tmp_path / "one") == compute_fingerprint(tmp_path / "two")


@pytest.mark.parametrize("options", [{"ignore": [1]}, {"map": ["255=0"]}])
def test_options_and_colors_are_part_of_the_fingerprint(options: dict[str, list[object]], tmp_path: Path) -> None:
    make_writer("sky\nroad\ncar\n")(tmp_path / "numbers")
    plain = compute_fingerprint(tmp_path / "numbers")
    with open_run_scope(data_options=make_data_options(options)):
        assert compute_fingerprint(tmp_path / "numbers") != plain


def test_the_colors_of_a_table_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    make_writer(CLASS_DICT, "class_dict.csv", colors=(SKY, ROAD))(tmp_path)
    first = compute_fingerprint(tmp_path)
    (tmp_path / "class_dict.csv").unlink()
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    assert compute_fingerprint(tmp_path) == first, "the same colours in another format"
    (tmp_path / "labelmap.txt").write_text("sky:128,64,128::\nroad:10,20,30::\n")
    assert compute_fingerprint(tmp_path) != first


def test_a_label_file_has_other_labels_under_another_table(tmp_path: Path) -> None:
    """The summaries of label files are cached by content, and the content says nothing about the colours."""
    make_writer(CLASS_DICT, "class_dict.csv", rows=[[0, 0], [0, 1]], colors=(SKY, ROAD))(tmp_path)
    assert count_test_pixels(tmp_path) == [96, 32]
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nsky,128,64,128\nroad,10,20,30\n")
    assert count_test_pixels(tmp_path) == [32, 96]


def count_test_pixels(root: Path) -> list[int]:
    dataset = read_segfolder(root)
    histogram = summarize_labels(dataset, dataset.hash_contents().labels.digests).sum_histograms("test")
    counts: list[int] = dataset.label_space.count_class_pixels(histogram).tolist()
    return counts


def test_the_fixed_fifth_follows_content_and_keeps_equal_images_together(tmp_path: Path) -> None:
    def write(root: Path, name: Callable[[int], str]) -> set[bytes]:
        (root / "images").mkdir(parents=True)
        for index in range(20):
            pixels = np.full((8, 8, 3), index // 2, np.uint8)  # each image twice
            Image.fromarray(pixels).save(root / "images" / f"{name(index)}.png")
            write_mask(root / "labels" / f"{name(index)}.png")
        (root / "classes.txt").write_text("sky\nroad\n")
        splits = read_segfolder(root).splits
        tests, trains = ({pair.image_path.read_bytes() for pair in splits[split]} for split in ("test", "train"))
        assert (len(splits["test"]), len(splits["train"]), tests & trains) == (4, 16, set())
        return tests

    assert write(tmp_path / "one", str) == write(tmp_path / "two", lambda index: f"x{97 - index}")
    assert not SEGFOLDER.check_data(tmp_path / "one").duplicates


def test_names_hold_folders_only_where_names_repeat(tmp_path: Path) -> None:
    for city in ("x", "y"):
        write_pairs(
            tmp_path, f"images/{{split}}/{city}/{{name}}_{city}.jpg", f"labels/{{split}}/{city}/{{name}}_{city}.png"
        )
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    assert [pair.name for pair in read_segfolder(tmp_path).splits["test"]] == [
        *("test_a_x", "test_a_y", "test_b_x", "test_b_y")
    ]
    for part, ending in (("images", "jpg"), ("labels", "png")):
        for path in (tmp_path / part).rglob(f"*.{ending}"):
            path.rename(path.with_name(f"{path.stem[:-2]}.{ending}"))
    dataset = read_segfolder(tmp_path)
    assert [pair.name for pair in dataset.splits["test"]] == ["x_test_a", "x_test_b", "y_test_a", "y_test_b"]
    assert all(pair.image_path.parent.name == pair.label_path.parent.name for pair in dataset.splits["test"])


def test_sizes_are_compared_before_a_run(tmp_path: Path) -> None:
    """By the headers, as no image is decoded before a run; an image that is turned by its tag has its upright size."""
    make_writer()(tmp_path)
    path = tmp_path / "images/train/train_a.jpg"
    tag = Image.Exif()
    tag[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=tag)  # 12 x 8 px as stored, 8 x 12 px as displayed
    for size, fits in (((8, 12), True), ((12, 8), False)):
        Image.fromarray(np.eye(*size[::-1], dtype=np.uint8)).save(tmp_path / "labels/train/train_a.png")
        if fits:
            SEGFOLDER.check_data(tmp_path)
        else:
            with pytest.raises(DataError, match=r"train_a.jpg is 8 x 12 px but its label file .* is 12 x 8"):
                SEGFOLDER.check_data(tmp_path)


def test_only_the_test_split_need_be_whole_to_evaluate(tmp_path: Path) -> None:
    make_writer()(tmp_path)
    (tmp_path / "labels/train/train_a.png").unlink()
    write_image(tmp_path / "images/train/other.jpg")
    assert list(read_segfolder(tmp_path, test_only=True).splits) == ["test"]
    with pytest.raises(DataError, match="has no annotation"):
        read_segfolder(tmp_path)


@pytest.mark.parametrize(
    ("path", "split", "role", "parents"),
    [
        ("images/train/a.png", "train", "image", ()),
        ("Train/Masks/x/a.png", "train", "mask", ("x",)),
        ("train_labels/a.png", "train", "mask", ()),
        ("valannot/a.png", "val", "mask", ()),
        ("ground_truth/testing/a.png", "test", "mask", ()),
        ("x_train/a.png", "train", "image", ()),
        ("x/a.png", None, None, ("x",)),
        ("training_set/img/a.png", "train", "image", ()),
        ("trainer/imagery/a.png", None, None, ("trainer", "imagery")),
        ("image_masks/a.png", None, "mask", ()),
        ("TrainSet/imgs/a.png", "train", "image", ()),
        ("testset/a.png", "test", None, ()),
        ("TrainMasks/a.png", "train", "mask", ()),
        ("masks_val2017/a.png", "val", "mask", ()),
        ("seg_train/seg_train/masks/a.png", "train", "mask", ()),
        ("gtFine_trainvaltest/gtFine/val/ulm/a.png", "val", "mask", ("ulm",)),
        ("image_2/a.png", None, "image", ()),
        ("training/latest/a.png", "train", None, ("latest",)),
    ],
)
def test_folders_say_split_and_role(path: str, split: str | None, role: str | None, parents: tuple[str, ...]) -> None:
    found = find_file_role("data", path)
    assert (found.split, found.role, found.parents) == (split, role, parents)


@pytest.fixture
def camvid(shared_data: Path, tmp_path: Path) -> Path:
    """Real label maps of CamVid, each in another folder than its image."""
    archive = shared_data / "camvid" / "camvid_480x360.tar"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.mark.parametrize("name", ["train_extra", "TrainVal", "trainval", "train_val", "my test", "valid-2b"])
def test_a_folder_that_is_nearly_a_split_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"lies in {name}, which looks like a split .* --exclude '?images/{name}"):
        find_file_role("data", f"images/{name}/a.png")


def test_real_camvid_as_an_own_folder(camvid: Path) -> None:
    official = CAMVID.find_dataset(camvid)
    (camvid / "classes.txt").write_text("\n".join(official.label_space.class_names))
    with pytest.raises(DataError, match=r"has label 11, .* add --ignore 11"):
        SEGFOLDER.check_data(camvid)
    with open_run_scope(data_options=make_data_options({"ignore": [11]})):
        assert SEGFOLDER.check_data(camvid).splits == CAMVID.expected
        own = SEGFOLDER.find_dataset(camvid)
    assert own.splits == official.splits
    for pair in own.splits["val"][:5]:
        by_official = read_label_map(pair.label_path, official.label_space)
        assert (read_label_map(pair.label_path, own.label_space) == by_official).all()


def test_real_camvid_in_colors(camvid: Path) -> None:
    """Real label maps, painted by hand in twelve colours, are read as the numbers that they were."""
    palette = np.random.default_rng(0).choice(2**24, 12, replace=False)
    colors = np.stack([palette >> 16, palette >> 8 & 255, palette & 255], 1).astype(np.uint8)
    lines = [f"c{index},{red},{green},{blue}" for index, (red, green, blue) in enumerate(colors.tolist())]
    (camvid / "class_dict.csv").write_text("\n".join(["name,r,g,b", *lines]))
    truth = {path.stem: np.array(Image.open(path)) for path in sorted((camvid / "CamVid/testannot").iterdir())[:5]}
    for name, labels in truth.items():
        Image.fromarray(colors[labels]).save(camvid / f"CamVid/testannot/{name}.png")
    with open_run_scope(data_options=make_data_options({"ignore": [11]})):
        dataset = read_segfolder(camvid, test_only=True)
    for pair in dataset.splits["test"][:5]:
        expected = np.where(truth[pair.name] == 11, 255, truth[pair.name])
        assert (read_label_map(pair.label_path, dataset.label_space) == expected).all()


def test_names_of_the_test_images_do_not_depend_on_other_splits(tmp_path: Path) -> None:
    """Evaluation, scoring and verification read the test split alone, and find predictions by these names."""
    for place in ("train/x", "train/y", "test/z"):
        for part, write in (("images", write_image), ("labels", write_mask)):
            write(tmp_path / part / place / f"{place[:-2]}.png")
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    complete = read_segfolder(tmp_path)
    assert [pair.name for pair in complete.splits["train"]] == ["x_train", "y_train"]
    assert [pair.name for pair in complete.splits["test"]] == ["test"]
    assert complete.splits["test"] == read_segfolder(tmp_path, test_only=True).splits["test"]
    # a folder around all images of the split is in no name, whatever stands around the others
    for part, write in (("images", write_image), ("labels", write_mask)):
        for name in ("a", "b"):
            write(tmp_path / part / "test/z" / name / "0.png")
    names = [pair.name for pair in read_segfolder(tmp_path).splits["test"]]
    assert names == [pair.name for pair in read_segfolder(tmp_path, test_only=True).splits["test"]]
    assert names == ["a_0", "b_0", "test"]
