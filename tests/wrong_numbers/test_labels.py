"""Points 3, 4 and 6: labels that are not the official ones, and labels that cannot give a number."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from benchmarks.cli.main import main
from classification.data.dataset_splits import RawSplit
from classification.data.image_collections import ImageFiles
from classification.data.readers.official_labels import (
    LABEL_DIGESTS_FILE,
    compare_aircraft_labels,
    compare_cifar_labels,
    compare_image_labels,
)
from classification.image_tasks import IMAGE_TASKS
from engine.data import file_hashes
from foundation.errors import DataError
from foundation.files import sha256_file
from foundation.run_scope import open_run_scope
from segmentation.data import label_summaries
from segmentation.data.ade20k_classes import LABEL_DIGESTS_FILE as SEGMENTATION_DIGESTS_FILE
from segmentation.data.ade20k_classes import compare_ade20k_classes, get_ade20k_classes, read_object_info
from segmentation.data.dataset_layout import read_ade20k
from segmentation.data.labels import LabelSpace
from segmentation.tasks import ADE20K, CAMVID, MINI_ADE, SEGFOLDER
from tests.classification.data import make
from tests.make_label_digests import make_classification_digests, make_segmentation_digests
from tests.segmentation.make import save_pair, write_small_ade


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; digests are kept at once, although the files were written just now."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    monkeypatch.setattr(file_hashes, "SETTLED_SECONDS", -1.0)
    return folder


# a user's own folder


def write_segfolder(root: Path, labels: dict[str, Sequence[Any]], classes: str = "ground road car") -> Path:
    """``root`` with one image for each label map (rows of label values, enlarged to 16 x 16 px)."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text(classes.replace(" ", "\n") + "\n")
    seed = 0
    for split, maps in labels.items():
        for index, values in enumerate(maps):
            seed += 1
            noise = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8)
            enlarged = np.kron(np.array(values, np.uint8), np.ones((8, 8), np.uint8))
            for part, array in (("images", noise), ("labels", enlarged)):
                (root / part / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / part / split / f"{split}{index}.png")
    return root


WHOLE = [[0, 1], [2, 255]]

REFUSED: dict[str, tuple[str, dict[str, Sequence[Any]], str]] = {
    "masks of 0 and 255": (
        "background object",
        {"train": [[[0, 255], [0, 255]]], "test": [[[0, 255], [0, 0]]]},
        r"class 'object' \(label 1\) of .*classes.txt has no pixel in the train split, so it could never be learned; "
        r"255 is ignored: if it marks 'object', add --map 255=1",
    ),
    "a class that no test image has": (
        "ground road car",
        {"train": [WHOLE], "test": [[[0, 1], [1, 255]]]},
        r"class 'car' \(label 2\) of .* has no pixel in the test split, so it could never be scored; move images",
    ),
    "classes that no training image has": (
        "ground road car sign",
        {"train": [[[0, 1], [1, 0]]], "test": [[[0, 1], [2, 3]]]},
        r"class 'car' .* in the train split \(2 of 4 classes have none\), so it could never be learned; move images",
    ),
    "a class that no image has": (
        "ground road car",
        {"train": [[[0, 1], [1, 0]]], "test": [[[0, 1], [1, 1]]]},
        r"class 'car' .* could never be learned; label some pixels with it in train and in test, or",
    ),
    "labels from 1": (
        "ground road car",
        {"train": [[[1, 2], [3, 1]]], "test": [[[1, 2], [3, 1]]]},
        r"train0.png has label 3, but labels are 0 to 2, and 255 .* \(no pixel has label 0: if your labels begin "
        r"with 1, put a line for label 0 before the others in classes.txt and add --ignore 0\)",
    ),
    "labels from 1 with a class too many": (
        "ground road car",
        {"train": [[[1, 2], [2, 1]]], "test": [[[1, 2], [1, 1]]]},
        r"class 'ground' \(label 0\) .*; if 'ground' is a background that no pixel has, add --ignore 0; if your labels "
        r"begin with 1, put a line for label 0 before it and add --ignore 0",
    ),
    "training labels that are all ignored": (
        "ground road car",
        {"train": [[[255, 255], [255, 255]]], "test": [WHOLE]},
        r"no pixel of the train split of .* has a class: its 1 label files hold nothing but label 255, which is "
        r"ignored; use labeled images as train",
    ),
    "test labels that are all ignored": (
        "ground road car",
        {"train": [WHOLE], "test": [[[255, 255], [255, 255]]]},
        r"no pixel of the test split of .* has a class",
    ),
    "val labels that are all ignored": (
        "ground road car",
        {"train": [WHOLE], "val": [[[255, 255], [255, 255]]], "test": [WHOLE]},
        r"no pixel of the val split of .* has a class",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_labels_that_cannot_give_a_number_are_refused_before_a_run(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes, labels, message = REFUSED[fault]
    root = write_segfolder(tmp_path / "data", labels, classes)
    with pytest.raises(DataError, match=message):
        SEGFOLDER.check_data(root)
    words = ["run", "segfolder", "--backbone", "vit_nano", "--tier", "smoke", "--data-root", str(root)]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_ignored_pixels_and_a_val_split_without_a_class_are_allowed(tmp_path: Path) -> None:
    report = SEGFOLDER.check_data(
        write_segfolder(tmp_path, {"train": [WHOLE], "val": [[[0, 1], [1, 255]]], "test": [WHOLE]})
    )
    assert report.notes == ("classes.txt: 3 classes (ground, road, car)", "1 of 3 classes have no pixel in val: car")
    assert (report.deviations, report.duplicates) == ((), ())


def copy_an_image(root: Path) -> None:
    shutil.copy(root / "images/train/train0.png", root / "images/test/test0.png")


def test_training_images_in_test_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_segfolder(tmp_path / "data", {"train": [WHOLE], "test": [WHOLE]})
    assert not SEGFOLDER.check_data(root).duplicates, "equal label maps are no sign"
    copy_an_image(root)
    (sentence,) = SEGFOLDER.check_data(root).duplicates
    assert sentence.startswith("1 item of test has the content of an item of train: images/test/")
    words = ["run", "segfolder", "--backbone", "vit_nano", "--tier", "smoke", "--data-root", str(root)]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 2
    assert "--allow-duplicates" in capsys.readouterr().err


def test_a_split_that_links_to_another_one_is_refused(tmp_path: Path) -> None:
    root = write_segfolder(tmp_path, {"train": [WHOLE], "test": [WHOLE]})
    for part in ("images", "labels"):
        shutil.rmtree(root / part / "test")
        (root / part / "test").symlink_to(root / part / "train")
    with pytest.raises(DataError, match=r"images/test is a link to .*images/train, which is in the data too"):
        SEGFOLDER.check_data(root)


# official label spaces


def test_a_part_of_an_official_set_need_not_have_all_classes(tmp_path: Path) -> None:
    report = MINI_ADE.check_data(tmp_path)
    assert report.notes[:2] == tuple(f"144 of 150 classes have no pixel in {split}" for split in ("train", "test"))
    assert not report.deviations


@pytest.mark.parametrize(("split", "stem"), [("training", "ADE_train"), ("validation", "ADE_val")])
def test_an_official_split_of_ignored_pixels_is_refused(split: str, stem: str, tmp_path: Path) -> None:
    write_small_ade(tmp_path)
    for number in (1, 2):
        save_pair(tmp_path, split, f"{stem}_{number:08d}", np.zeros((40, 48)))
    name = {"training": "train", "validation": "test"}[split]
    with pytest.raises(DataError, match=f"no pixel of the {name} split .* nothing but label 0, which is ignored"):
        ADE20K.check_data(tmp_path)


def test_shifted_labels_are_refused_before_a_run(tmp_path: Path) -> None:
    """Labels that were reduced by one have no trace but the frequency of their classes."""
    folder = write_small_ade(tmp_path)
    frequent = [f"{index + 1}\t{0.9 if index == 4 else 0.1 / 149}\t1\t1\tname {index}" for index in range(150)]
    (folder / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *frequent]) + "\n")
    for label, is_right in ((5, True), (4, False)):
        for split, stem in (("training", "ADE_train"), ("validation", "ADE_val")):
            for number in (1, 2):
                save_pair(tmp_path, split, f"{stem}_{number:08d}", np.full((40, 48), label))
        if is_right:
            ADE20K.check_data(tmp_path)
        else:
            with pytest.raises(DataError, match=r"look shifted by one"):
                ADE20K.check_data(tmp_path)


# label files are decoded once


def test_a_label_file_is_decoded_once_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_segfolder(tmp_path / "data", {"train": [WHOLE, [[0, 0], [1, 1]]], "test": [WHOLE]})
    first = SEGFOLDER.check_data(root)
    decode, decoded = label_summaries.decode_label_values, []

    def count_decoded(data: bytes, path: Path, label_space: LabelSpace) -> Any:
        decoded.append(path.name)
        return decode(data, path, label_space)

    monkeypatch.setattr(label_summaries, "decode_label_values", count_decoded)
    assert SEGFOLDER.check_data(root) == first
    shutil.copytree(root, tmp_path / "copy")
    assert SEGFOLDER.check_data(tmp_path / "copy") == first
    assert decoded == []
    with open_run_scope(trusts_caches=False):
        assert SEGFOLDER.check_data(root) == first
    assert len(decoded) == 2, "two of the three files have the same content"
    Image.fromarray(np.full((16, 16), 7, np.uint8)).save(root / "labels" / "train" / "train1.png")
    with pytest.raises(DataError, match=r"train1.png has label 7, but labels are 0 to 2"):
        SEGFOLDER.check_data(root)
    assert decoded[2:] == ["train1.png"]


def test_a_stored_summary_is_judged_by_the_labels_of_this_set(tmp_path: Path) -> None:
    root = write_segfolder(tmp_path / "data", {"train": [WHOLE], "test": [WHOLE]})
    SEGFOLDER.check_data(root)
    (root / "classes.txt").write_text("ground\nroad\n")
    with pytest.raises(DataError, match=r"train0.png has label 2, but labels are 0 to 1"):
        SEGFOLDER.check_data(root)


def test_a_damaged_store_costs_time_only(tmp_path: Path, cache: Path) -> None:
    root = write_segfolder(tmp_path / "data", {"train": [WHOLE], "test": [WHOLE]})
    first = SEGFOLDER.check_data(root)
    for _ in range(2):  # the second time it has been written anew
        (cache / "label_summaries.sqlite").write_bytes(b"no database")
        assert SEGFOLDER.check_data(root) == first
    assert (cache / "label_summaries.sqlite").read_bytes().startswith(b"SQLite")


def test_a_sample_of_a_huge_set_refuses_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_segfolder(tmp_path / "data", {"train": [WHOLE] * 4, "test": [[[0, 1], [1, 0]]]})
    monkeypatch.setattr(file_hashes, "FULL_HASH_LIMIT", 100)
    monkeypatch.setattr(file_hashes, "SAMPLE_SIZE", 2)
    report = SEGFOLDER.check_data(root)
    assert "only a sample of the label files was opened" in report.notes[1]
    assert report.coverage.startswith("the sizes of all files and the bytes of 2 of 5")
    with (
        open_run_scope(hashes_all=True),
        pytest.raises(DataError, match=r"class 'car' \(label 2\) .* no pixel in the test split"),
    ):
        SEGFOLDER.check_data(root)


def test_the_fingerprint_is_that_of_earlier_versions(tmp_path: Path) -> None:
    """Over label space, splits, names and SHA-256 of all files: kept digests do not change its value."""
    write_small_ade(tmp_path)
    found = read_ade20k(tmp_path)
    digest = hashlib.sha256(repr(found.label_space.make_lookup_table()).encode())
    for split in ("test", "train"):
        for pair in found.splits[split]:
            sums = f"{sha256_file(pair.image_path)} {sha256_file(pair.label_path)}"
            digest.update(f"{split} {pair.name} {sums}\n".encode())
    for _ in range(2):
        report = ADE20K.check_data(tmp_path)
        assert (report.fingerprint, report.coverage) == (digest.hexdigest(), "the bytes of every file")


def test_the_fingerprint_of_real_ade20k(shared_data: Path) -> None:
    expected = "a9e77b8742f41fc7d4dea7749add6e62dc3c01b33a0571a41bd1f5da6c612d89"
    assert ADE20K.check_data(shared_data / "ade20k").fingerprint == expected


# official labels, by the digests that the project ships


def test_the_digests_are_those_of_the_official_files(shared_data: Path) -> None:
    if not (shared_data / "camvid" / "camvid_480x360.tar").is_file():
        pytest.skip(f"no CamVid in {shared_data}")
    assert json.loads(LABEL_DIGESTS_FILE.read_text()) == make_classification_digests(shared_data)
    assert json.loads(SEGMENTATION_DIGESTS_FILE.read_text()) == make_segmentation_digests(shared_data)


def test_labels_of_cifar10(shared_data: Path) -> None:
    store = np.load(shared_data / "cifar10" / "cifar10_jpeg_native_order.npz")
    labels = {split: store[f"{split}_labels"].tolist() for split in ("train", "test")}
    names = [str(name) for name in store["label_names"]]
    assert compare_cifar_labels("cifar10", labels, names) == ((), 60_000)
    labels["train"][20_000:20_002] = [(label + 1) % 10 for label in labels["train"][20_000:20_002]]
    wrong = compare_cifar_labels("cifar10", labels, names)
    assert wrong.deviations == (
        "train images 20,000 to 29,999 have other labels than the official ones, or another order",
    )
    assert wrong.num_equal == 50_000
    names[3], names[5] = names[5], names[3]
    (sentence, _) = compare_cifar_labels("cifar10", labels, names).deviations
    assert sentence == (
        "the class list is not the official one: class 3 is 'dog', and 2 of 10 names differ or are in another order"
    )


def test_class_names_of_cifar_are_compared(tmp_path: Path) -> None:
    make.write_cifar10(tmp_path)
    deviations = IMAGE_TASKS["cifar10"].check_data(tmp_path).deviations
    assert any("class 0 is 'class 0', and 10 of 10 names differ" in sentence for sentence in deviations)


def read_official_flowers(shared: Path) -> dict[str, list[tuple[str, int]]]:
    """Name and label (from 0) of each official image, by split."""
    with tarfile.open(shared / "flowers102" / "flowers-102_subset192.tar") as tar:
        files = [tar.extractfile(f"flowers-102/{name}") for name in ("imagelabels.mat", "official/setid.mat")]
        labels, ids = (loadmat(io.BytesIO(file.read()), squeeze_me=True) for file in files if file is not None)
    return {
        split: [(f"jpg/image_{number:05d}.jpg", int(labels["labels"][number - 1]) - 1) for number in ids[key].tolist()]
        for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid"))
    }


def make_splits(rows: dict[str, list[tuple[str, int]]]) -> dict[str, RawSplit]:
    return {
        split: RawSplit(ImageFiles(Path(), [path for path, _ in items]), [label for _, label in items])
        for split, items in rows.items()
    }


def test_labels_and_splits_of_flowers(shared_data: Path) -> None:
    rows = read_official_flowers(shared_data)
    assert compare_image_labels("flowers", make_splits(rows)) == ((), 8_189)
    cut = {split: items[:100] for split, items in rows.items()}
    assert compare_image_labels("flowers", make_splits(cut)) == ((), 300), "a part is compared too"
    (wrong, label), moved = cut["test"][7], cut["test"].pop(11)
    cut["test"][7] = (wrong, (label + 1) % 102)
    cut["train"].append(moved)
    cut["val"].append(("jpg/image_90000.jpg", 3))
    assert compare_image_labels("flowers", make_splits(cut)) == (
        (
            f"train has items of the official test: {Path(moved[0]).stem}",
            "val has items that are not in the official val: image_90000",
            f"test has other labels than the official ones for {Path(wrong).stem}",
        ),
        298,
    )


def test_a_flower_set_with_other_labels_says_so(tmp_path: Path) -> None:
    make.write_flowers(tmp_path)
    assert any(
        "other labels than the official" in each for each in IMAGE_TASKS["flowers"].check_data(tmp_path).deviations
    )


def test_labels_of_pets(shared_data: Path) -> None:
    lines = (shared_data / "label_files" / "oxford_pets_test_37classes.txt").read_text().split("\n")
    rows = [(f"images/{line.split()[0]}.jpg", int(line.split()[1]) - 1) for line in lines if line]
    mine = [(f"images/My_cat_{number}.jpg", 0) for number in range(5)]
    assert compare_image_labels("pets", make_splits({"train": mine, "test": rows})) == ((), 3_669)
    wrong = make_splits({"train": [*mine, rows[0]], "test": [(rows[1][0], 5), *rows[2:]]})
    assert compare_image_labels("pets", wrong).deviations == (
        "train has items of the official test: Abyssinian_201",
        "test has other labels than the official ones for Abyssinian_202",
    )


def test_labels_of_aircraft(shared_data: Path) -> None:
    lines = (shared_data / "label_files" / "fgvc_aircraft_images_family_test.txt").read_text().splitlines()
    families = [line.split(" ", 1)[1] for line in lines]
    names = sorted(set(families))
    rows = [(f"data/images/{line.split()[0]}.jpg", names.index(line.split(" ", 1)[1])) for line in lines]
    variants = {
        f"{Path(line.split()[0]).stem}": line.split()[1]
        for line in (shared_data / "label_files" / "openood_test_fgvc-variant_clean.txt").read_text().splitlines()
    }
    # a class for each group of which the official lists tell: 50 variants, and families
    groups = sorted({variants.get(Path(path).stem, names[label]) for path, label in rows})
    rows = [(path, groups.index(variants.get(Path(path).stem, names[label]))) for path, label in rows]
    assert compare_aircraft_labels(make_splits({"train": [], "test": rows}), groups) == ((), 3_333)
    path, label = rows[5]
    rows[5] = (path, label + 1)
    train = [rows.pop(9), ("data/images/mine.jpg", 0)]
    found = compare_aircraft_labels(make_splits({"train": train, "test": rows}), groups).deviations
    assert found == (
        f"train has items that belong to the official test: {Path(train[0][0]).stem}",
        f"{groups[label + 1]} has images of another official family: {Path(path).stem}",
    )


def test_a_changed_label_map_of_camvid_is_named(shared_data: Path, tmp_path: Path) -> None:
    archive = shared_data / "camvid" / "camvid_480x360.tar"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    report = CAMVID.check_data(tmp_path)
    assert report.fingerprint == "4608c19c65d828cfa7f0aa5b96a1f9a8db29b3ece6173fe8b32a1fa3d4945306"
    assert (report.deviations, report.notes) == ((), ())
    first, second, third = sorted((tmp_path / "CamVid" / "testannot").iterdir())[:3]
    with Image.open(first) as image:
        image.load()
    image.save(first, compress_level=0)  # the same map in another file
    with Image.open(second) as image:
        image.load()
    image.putpixel((5, 5), 11 if image.getpixel((5, 5)) != 11 else 0)
    image.save(second)
    for folder, suffix in (("testannot", ".png"), ("test", ".jpg")):
        (tmp_path / "CamVid" / folder / (third.stem + suffix)).rename(
            tmp_path / "CamVid" / folder.replace("test", "val") / (third.stem + suffix)
        )
    changed = CAMVID.check_data(tmp_path)
    assert changed.deviations == (
        "val has 102 of 101 pairs",
        "test has 232 of 233 pairs",
        f"val has items of the official test: {third.stem}",
        f"test has other labels than the official ones for {second.stem}",
    )
    assert changed.fingerprint != report.fingerprint


def test_the_class_list_of_ade20k(shared_data: Path, tmp_path: Path) -> None:
    official = shared_data / "ade20k" / "ADEChallengeData2016"
    entries = read_object_info(official)
    assert entries is not None
    # mmseg's names are synonyms of the official ones, in the same order
    for entry, name in zip(entries, get_ade20k_classes(), strict=True):
        assert name.replace(" ", "") in {word.replace(" ", "") for word in entry.synonyms}, entry
    assert compare_ade20k_classes(official) == ()
    lines = (official / "objectInfo150.txt").read_text().splitlines()
    lines[3], lines[4] = lines[4], lines[3]
    folder = write_small_ade(tmp_path)
    (folder / "objectInfo150.txt").write_text("\n".join(lines))
    assert (
        ADE20K.check_data(tmp_path)
        .deviations[-1]
        .startswith(
            "objectInfo150.txt: the class list is not the official one: class 2 is 'floor', and 2 of 150 names differ"
        )
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Idx\tRatio\tTrain\tVal\tName\n1\t0.5\t3\t3\twall\n", None),
        ("Idx Ratio\n1 0.5 wall\n", "objectInfo150.txt is not ADE20K's list of classes"),
    ],
)
def test_another_class_list_of_ade20k(content: str, message: str | None, tmp_path: Path) -> None:
    (write_small_ade(tmp_path) / "objectInfo150.txt").write_text(content)
    if message is None:
        found = ADE20K.check_data(tmp_path).deviations
        assert found[-1] == "objectInfo150.txt: the class list has 1 names where the official one has 150"
    else:
        with pytest.raises(DataError, match=message):
            ADE20K.check_data(tmp_path)


# classification: the same kinds of faults in a user's folder and in label files


def test_a_user_folder_without_test_images_of_a_class(tmp_path: Path) -> None:
    make.write_class_folders(tmp_path, ("train", "test"), ("ant", "bee"), each=3)
    make.write_noise_image(tmp_path / "train" / "wasp" / "0.jpg", 99)
    with pytest.raises(DataError, match=r"class 'wasp' in .* has no test image .* so its score cannot be measured"):
        IMAGE_TASKS["imagefolder"].check_data(tmp_path)


def test_class_folders_of_two_images_are_too_few(tmp_path: Path) -> None:
    make.write_class_folders(tmp_path, ("",), ("ant", "bee"), each=6)
    IMAGE_TASKS["imagefolder"].check_data(tmp_path)
    for number in (3, 4, 5):
        make.write_noise_image(tmp_path / "wasp" / f"{number}.jpg", 90 + number)
    assert IMAGE_TASKS["imagefolder"].check_data(tmp_path).splits["test"] == 3
    (tmp_path / "wasp" / "3.jpg").unlink()
    with pytest.raises(DataError, match=r"class 'wasp' in .* has 2 images; without a test folder each class needs 3"):
        IMAGE_TASKS["imagefolder"].check_data(tmp_path)


def test_a_val_split_without_a_class_and_a_class_of_one_image_are_noted(tmp_path: Path) -> None:
    make.write_class_folders(tmp_path, ("train", "test"), ("ant", "bee", "wasp"), each=3)
    for name in ("0", "1"):
        (tmp_path / "train" / "wasp" / f"train{name}.jpg").unlink()
    notes = IMAGE_TASKS["imagefolder"].check_data(tmp_path).notes
    assert "1 of 3 classes (wasp) has a single training image, and none in the part of train that becomes val" in notes
    make.write_noise_image(tmp_path / "val" / "ant" / "0.jpg", 70)
    notes = IMAGE_TASKS["imagefolder"].check_data(tmp_path).notes
    assert "2 of 3 classes (bee, wasp) have no val image" in notes


def test_categories_that_changed_their_name_between_train_and_val(tmp_path: Path) -> None:
    folder = make.write_inat(tmp_path)
    IMAGE_TASKS["inat18"].check_data(tmp_path)
    content = json.loads((folder / "val2018.json").read_text())
    content["categories"][0]["name"], content["categories"][1]["name"] = "17", "3"
    (folder / "val2018.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"category 3 of .* is '3' in train and '17' in val; fetch both files again"):
        IMAGE_TASKS["inat18"].check_data(tmp_path)


def test_a_breed_under_two_class_ids(tmp_path: Path) -> None:
    folder = make.write_pets(tmp_path)
    for split in ("trainval", "test"):
        file = folder / "annotations" / f"{split}.txt"
        rows = file.read_text().splitlines()
        rows[0] = rows[0].replace(" 1 1 1", " 9 1 1")
        file.write_text("\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"breed 'Big_breed_A' of .* has two class ids"):
        IMAGE_TASKS["pets"].check_data(tmp_path)
