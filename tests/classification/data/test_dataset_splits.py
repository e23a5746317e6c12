"""What is made of a reader's lists: classes, the cut, the fingerprint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from classification.data.dataset_splits import (
    PreparedDataset,
    RawDataset,
    RawSplit,
    prepare_dataset,
)
from classification.data.image_collections import ImageArrays, ImageFiles
from foundation.errors import DataError
from tests.classification.data.make import write_noise_image


def found(counts: tuple[int, ...] = (10, 20, 30), seed: int = 0) -> RawDataset:
    """Train with so many images of each class, and two of each in test."""
    rng = np.random.default_rng(seed)
    splits = {}
    for name, per_class in (("train", counts), ("test", (2,) * len(counts))):
        labels = [label for label, count in enumerate(per_class) for _ in range(count)]
        pixels = rng.integers(0, 256, (len(labels), 4, 4, 3), np.uint8)
        splits[name] = RawSplit(ImageArrays(pixels, name), labels)
    return RawDataset({label: f"c{label}" for label in range(len(counts))}, splits)


def ready(what: RawDataset, share: float = 0.1) -> PreparedDataset:
    return prepare_dataset(what, {}, None, share, "here")


def test_the_cut_is_stratified_fixed_and_apart() -> None:
    data = ready(found())
    train, val = data.splits["train"], data.splits["val"]
    assert [list(val.labels).count(label) for label in range(3)] == [1, 2, 3]
    assert sorted([*train.indices, *val.indices]) == list(range(60))
    assert list(val.indices) == list(ready(found(seed=1)).splits["val"].indices), "whatever the pixels"
    assert list(val.indices) == VAL, "and in every version of bench: else old and new numbers are not comparable"


VAL = [2, 12, 24, 49, 55, 57]


def test_a_class_with_one_image_stays_in_train() -> None:
    data = ready(found((1, 2, 30)))
    assert [list(data.splits["val"].labels).count(label) for label in range(3)] == [0, 1, 3]


def test_the_fingerprint_moves_with_everything() -> None:
    first = ready(found())
    assert ready(found()).fingerprint == first.fingerprint
    assert ready(found(seed=1)).fingerprint != first.fingerprint, "pixels"
    assert ready(found(), share=0.2).fingerprint != first.fingerprint, "the cut"
    renamed = found()._replace(class_names={0: "c0", 1: "c2", 2: "c1"})
    assert ready(renamed).fingerprint != first.fingerprint, "class order"
    swapped = found()
    labels = [1 - label if label < 2 else label for label in swapped.splits["test"].labels]
    swapped = swapped._replace(splits={**swapped.splits, "test": RawSplit(swapped.splits["test"].images, labels)})
    assert ready(swapped).fingerprint != first.fingerprint, "test labels"


def test_the_fingerprint_of_files_has_their_contents(tmp_path: Path) -> None:
    for index in range(4):
        write_noise_image(tmp_path / f"{index}.png", index)
    files = ImageFiles(tmp_path, ["0.png", "1.png"])
    before = files.hash_contents().digests
    write_noise_image(tmp_path / "0.png", 9)
    after = files.hash_contents().digests
    assert after[0] != before[0] and after[1] == before[1]
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png is missing"):
        files.hash_contents()


def test_a_test_image_among_the_training_images_is_refused(tmp_path: Path) -> None:
    files = ImageFiles(tmp_path, [f"{index}.png" for index in range(4)])
    for index in range(4):
        write_noise_image(tmp_path / f"{index}.png", index)
    test = ImageFiles(tmp_path, ["3.png", "2.png"])
    what = RawDataset({0: "a", 1: "b"}, {"train": RawSplit(files, [0, 1, 0, 1]), "test": RawSplit(test, [1, 0])})
    with pytest.raises(DataError, match=r"\d\.png is in train and again in test; remove one, because a test must not"):
        ready(what)


def test_a_class_that_could_not_be_learnt_is_refused() -> None:
    what = found()
    test = what.splits["test"]
    only = RawSplit(ImageArrays(np.zeros((2, 4, 4, 3), np.uint8), "train"), [0, 1])
    with pytest.raises(DataError, match="class 'c2' in here has images in test and none in train"):
        ready(what._replace(splits={"train": only, "test": test}))


def test_departures_from_the_official_set_are_named() -> None:
    data = prepare_dataset(found(), {"train": 60, "test": 7}, 4, 0.1, "here")
    assert data.deviations == ("test has 6 images where the official split has 7", "3 of 4 classes have images")
