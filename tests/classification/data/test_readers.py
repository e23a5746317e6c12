"""Readers on small sets in the genuine layouts, and the traps that would give a plausible wrong number."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from timm.data import ImageNetInfo
from torchvision.datasets import CIFAR10, FGVCAircraft, StanfordCars

from classification.data.dataset_splits import PreparedDataset
from classification.image_tasks import IMAGE_TASKS
from foundation.errors import DataError
from tests.classification.data import make
from tests.engine.data.shards.make import make_jpeg, write_folder, write_tar


def read(name: str, root: Path) -> PreparedDataset:
    return IMAGE_TASKS[name].load_data(root)


def counts(data: PreparedDataset) -> dict[str, int]:
    return {name: len(split.indices) for name, split in data.splits.items()}


def test_cifar_is_what_torchvision_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.write_cifar10(tmp_path)
    data = read("cifar10", tmp_path)
    assert counts(data) == {"train": 40, "val": 10, "test": 20}, "one of five of each class is cut for val"
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    theirs = CIFAR10(tmp_path, train=False)
    ours = data.splits["test"]
    assert list(ours.labels) == theirs.targets
    for index in (0, 7, 19):
        assert np.array_equal(np.asarray(ours.images.load_image(index)), theirs.data[index])
    assert data.class_names == tuple(theirs.classes)
    assert any("by their MD5: data_batch_1, data_batch_2" in departure for departure in data.deviations)
    assert any("train has 50 images where the official split has 50,000" in departure for departure in data.deviations)


def test_a_cifar_file_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (make.write_cifar10(tmp_path) / "data_batch_1").write_bytes(pickle.dumps({"data": Evil()}))
    with pytest.raises(DataError, match=r"data_batch_1 cannot be read \(it refers to pathlib"):
        read("cifar10", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_labels_that_are_off_by_one_are_refused(tmp_path: Path) -> None:
    make.write_cifar10(tmp_path, shift=1)
    with pytest.raises(DataError, match=r"label 10 .* is not a class \(labels 1 to 10, classes 0 to 9: off by one\?\)"):
        read("cifar10", tmp_path)


def test_flowers_off_by_one(tmp_path: Path) -> None:
    folder = make.write_flowers(tmp_path)
    labels = loadmat(folder / "imagelabels.mat", squeeze_me=True)["labels"]
    savemat(folder / "imagelabels.mat", {"labels": labels - 1})
    with pytest.raises(DataError, match=r"label -1 .* off by one"):
        read("flowers", tmp_path)


def test_flowers_labels_belong_to_their_images(tmp_path: Path) -> None:
    folder = make.write_flowers(tmp_path)
    data = read("flowers", tmp_path)
    official = loadmat(folder / "imagelabels.mat", squeeze_me=True)["labels"]
    for split in data.splits.values():
        for member, label in zip(split.indices, split.labels, strict=True):
            number = int(Path(split.images.get_image_name(member)).stem.removeprefix("image_"))
            assert label == official[number - 1] - 1
    assert counts(data) == {"train": 102, "val": 102, "test": 102}, "the set's own val split is used as it is"


def test_real_flowers(shared_data: Path, tmp_path: Path) -> None:
    """The pack's train and val are complete, its test split is cut to ten a class."""
    import tarfile

    with tarfile.open(shared_data / "flowers102" / "flowers-102_subset192.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    data = read("flowers", tmp_path)
    assert counts(data) == {"train": 1020, "val": 1020, "test": 1020}
    assert data.deviations == (
        "setid.mat is not the official file (its MD5 differs)",
        "test has 1,020 images where the official split has 6,149",
    )
    assert "3,060 images have their official label and are in their official split" in data.notes
    (tmp_path / "flowers-102" / "jpg" / Path(data.splits["val"].images.get_image_name(3)).name).unlink()
    with pytest.raises(DataError, match=r"image_\d+\.jpg is missing; unpack the data set again"):
        read("flowers", tmp_path)


def test_pets_with_gaps_in_the_class_ids(tmp_path: Path) -> None:
    """torchvision numbers the labels 0, 1, 5 here and the names 0, 1, 2."""
    make.write_pets(tmp_path, ids=(1, 2, 6))
    data = read("pets", tmp_path)
    assert data.class_names == ("Big_breed_A", "Big_breed_B", "Big_breed_F")
    for split in data.splits.values():
        assert sorted(set(split.labels)) == [0, 1, 2]
        for member, label in zip(split.indices, split.labels, strict=True):
            assert Path(split.images.get_image_name(member)).stem.startswith(data.class_names[label])
    assert "3 of 37 classes have images" in data.deviations


def test_pets_with_two_breeds_under_one_id(tmp_path: Path) -> None:
    folder = make.write_pets(tmp_path)
    file = folder / "annotations" / "test.txt"
    file.write_text(file.read_text().replace(" 6 1 1", " 2 1 1"))
    with pytest.raises(DataError, match=r"class id 2 of .* is 'Big_breed_B' and 'Big_breed_F'"):
        read("pets", tmp_path)


def test_an_animation_in_an_official_set_is_its_first_picture(tmp_path: Path) -> None:
    """Sets from the web hold some under the name of a JPEG, and torchvision reads the first picture."""
    folder = make.write_pets(tmp_path)
    first, second = (Image.new("RGB", (16, 16), color) for color in ("red", "blue"))
    first.save(folder / "images/Big_breed_A_5.jpg", "GIF", save_all=True, append_images=[second])
    test = read("pets", tmp_path).splits["test"]
    (place,) = (item for item in test.indices if "Big_breed_A_5.jpg" in test.images.get_image_name(item))
    assert test.images.load_image(place).getpixel((3, 3)) == (255, 0, 0)


def test_aircraft_and_cars_are_what_torchvision_reads(tmp_path: Path) -> None:
    make.write_aircraft(tmp_path)
    make.write_cars(tmp_path)
    planes, cars = read("aircraft", tmp_path), read("cars", tmp_path)
    theirs = FGVCAircraft(tmp_path, "val")
    assert list(planes.splits["val"].labels) == theirs._labels
    assert planes.class_names == tuple(theirs.classes)
    tests = StanfordCars(tmp_path, "test")
    assert list(cars.splits["test"].labels) == [label for _, label in tests._samples]
    assert counts(cars) == {"train": 9, "val": 3, "test": 12}
    assert set(cars.splits["train"].indices).isdisjoint(cars.splits["val"].indices)


def test_inat_numbers_the_species_without_gaps(tmp_path: Path) -> None:
    folder = make.write_inat(tmp_path, ids=(3, 17, 40))
    data = read("inat18", tmp_path)
    assert data.class_names == ("3", "17", "40")
    for split in data.splits.values():
        for member, label in zip(split.indices, split.labels, strict=True):
            assert Path(split.images.get_image_name(member)).parent.name == data.class_names[label]
    content = json.loads((folder / "val2018.json").read_text())
    content["images"][0]["file_name"] = "../../etc/x.jpg"
    (folder / "val2018.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="outside the data set"):
        read("inat18", tmp_path)


def test_imagenet_classes_are_in_the_official_order(tmp_path: Path) -> None:
    official = ImageNetInfo("imagenet-1k").label_names()
    some = [official[0], official[700], official[999]]
    make.write_class_folders(tmp_path / "imagenet", ("train", "val"), some[::-1], each=3)
    data = read("imagenet", tmp_path)
    assert data.class_names == tuple(some)
    assert counts(data) == {"train": 6, "val": 3, "test": 9}


IMAGENET_TRAPS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "flat val": (
        lambda folder: [make.write_noise_image(folder / "val" / f"{i}.jpg", i) for i in range(3)],
        r"val holds 3 images and no class folders, so their labels are not known",
    ),
    "names, not synsets": (
        lambda folder: make.write_class_folders(folder, ("val",), ("tench", "goldfish"), 1),
        r"goldfish is not named by an ImageNet synset",
    ),
    "no val": (lambda folder: None, r"ImageNet's val split should be in .*found in .*imagenet: train; name"),
    "an empty class": (
        lambda folder: (folder / "val" / "n01440764").mkdir(parents=True),
        r"n01440764 holds no image",
    ),
}


@pytest.mark.parametrize("trap", IMAGENET_TRAPS)
def test_traps_of_imagenet(tmp_path: Path, trap: str) -> None:
    make.write_class_folders(tmp_path / "imagenet", ("train",), ("n01440764", "n01443537"), 3)
    set_up, message = IMAGENET_TRAPS[trap]
    set_up(tmp_path / "imagenet")
    with pytest.raises(DataError, match=message):
        read("imagenet", tmp_path)


def test_imagefolder_layouts(tmp_path: Path) -> None:
    classes = ("ant", "bee")
    whole = read("imagefolder", make.write_class_folders(tmp_path / "a", ("train", "val", "test"), classes))
    assert counts(whole) == {"train": 20, "val": 20, "test": 20}
    assert whole.deviations == ()
    no_test = read("imagefolder", make.write_class_folders(tmp_path / "b", ("train", "val"), classes))
    assert counts(no_test) == {"train": 16, "val": 4, "test": 20}
    assert "val/ is the test split: a fixed part of train/ is used to choose on" in no_test.notes
    alone = read("imagefolder", make.write_class_folders(tmp_path / "c", ("",), classes, each=20))
    assert counts(alone) == {"train": 28, "val": 4, "test": 8} or counts(alone) == {"train": 26, "val": 6, "test": 8}
    assert "no test split found: it is a fixed fifth of each class, chosen by content" in alone.notes


def test_imagefolder_class_order(tmp_path: Path) -> None:
    """Sorted by name, as torchvision does, unless classes.txt says otherwise; the report tells."""
    make.write_class_folders(tmp_path, ("train", "test"), ("1", "2", "10"))
    data = read("imagefolder", tmp_path)
    assert data.class_names == ("1", "10", "2")
    assert data.notes[0] == "classes in the order 1, 10, 2"
    (tmp_path / "classes.txt").write_text("2\n10\n1\n")
    ordered = read("imagefolder", tmp_path)
    assert ordered.class_names == ("2", "10", "1")
    split = ordered.splits["test"]
    numbers = {
        Path(split.images.get_image_name(m)).parent.name: c for m, c in zip(split.indices, split.labels, strict=True)
    }
    assert numbers == {"2": 0, "10": 1, "1": 2}
    assert ordered.fingerprint != data.fingerprint
    (tmp_path / "classes.txt").write_text("2\n11\n1\n")
    with pytest.raises(DataError, match=r"classes\.txt and the class folders differ: 10, 11; list each folder once"):
        read("imagefolder", tmp_path)


FOLDER_TRAPS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing": (lambda root: None, "has no class folders"),
    "flat": (lambda root: make.write_noise_image(root / "x.jpg", 0), "holds 1 images and no class folders"),
    "one class": (lambda root: make.write_class_folders(root, ("",), ("a",)), "one class only"),
    "no test": (lambda root: make.write_class_folders(root, ("train",), ("a", "b")), "neither test/ nor val/"),
    "a class train lacks": (
        lambda root: (
            make.write_class_folders(root, ("train",), ("a", "b")),
            make.write_class_folders(root, ("test",), ("a", "c")),
        ),
        r"c is a class that train does not have",
    ),
    "an empty file": (
        lambda root: (
            make.write_class_folders(root, ("train", "test"), ("a", "b")),
            (root / "test/a/test1.jpg").write_bytes(b""),
        ),
        r"test1\.jpg is empty",
    ),
}


@pytest.mark.parametrize("trap", FOLDER_TRAPS)
def test_traps_of_imagefolder(tmp_path: Path, trap: str) -> None:
    set_up, message = FOLDER_TRAPS[trap]
    set_up(tmp_path)
    with pytest.raises(DataError, match=message):
        read("imagefolder", tmp_path)


def test_archives_of_imagenet_are_its_folders(tmp_path: Path) -> None:
    """The fingerprint of both is one; class numbers stand in the official order, also beside an image."""
    synsets = ImageNetInfo("imagenet-1k").label_names()
    contents = {f"{synsets[index % 2]}/{index}.JPEG": make_jpeg(index) for index in range(8)}
    for name in ("train", "val"):
        write_folder(tmp_path / "folder" / "imagenet" / name, contents)
    write_tar(tmp_path / "tars" / "imagenet" / "train" / "a.tar", contents)
    for home in synsets[:2]:
        members = {path.partition("/")[2]: data for path, data in contents.items() if path.startswith(home)}
        write_tar(tmp_path / "tars" / "imagenet" / "val" / f"{home}.tar", members)
    folder, tars = (read("imagenet", tmp_path / name) for name in ("folder", "tars"))
    assert tars.fingerprint == folder.fingerprint
    assert {name: split.labels for name, split in tars.splits.items()} == {
        name: split.labels for name, split in folder.splits.items()
    }
    first, second = (np.asarray(data.splits["test"].images.load_image(5)) for data in (folder, tars))
    assert np.array_equal(first, second)
    numbered = {f"{index}{suffix}": data for index in (0, 1) for suffix, data in ((".jpg", make_jpeg(index)),)}
    numbered |= {"0.cls": b"999", "1.cls": b"1000"}
    write_tar(tmp_path / "wrong" / "imagenet" / "val" / "a.tar", numbered)
    (tmp_path / "wrong" / "imagenet" / "train").symlink_to(tmp_path / "tars" / "imagenet" / "train")
    with pytest.raises(DataError, match=r"a\.tar: val/1\.jpg has the class 1000, which is neither an ImageNet synset"):
        read("imagenet", tmp_path / "wrong")
