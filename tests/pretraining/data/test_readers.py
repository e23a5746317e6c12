"""Which images are trained on: counts, splits, and that no task's test images are among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data import digits as digit_reader
from engine.data import photographs
from engine.seeding import SeededDataset, SeededIndex
from foundation.errors import DataError
from pretraining import knn_monitor
from pretraining.data import readers
from pretraining.data.dataset import ImageFileDataset
from pretraining.data.gpu_augmentation import BatchPreprocessor
from pretraining.knn_monitor import KnnMonitor
from pretraining.recipe import KnnMonitorSettings, PretrainRecipe
from pretraining.task import PretrainTask
from segmentation.data.mini_ade import PHOTO_SOURCES
from tests.engine.data.shards.make import make_jpeg, write_folder, write_tar
from tests.pretraining.make import HALF_MEAN, MINIMAL_RECIPE, make_pool


def test_digits_are_the_training_split() -> None:
    """As fine-tuning sees them: the very pixels (rounded to a byte), and none of val or test."""
    found, source = readers.read_digits(Path()), digit_reader.load_digits_data()
    assert len(found) == 1169
    assert found.pixels is not None
    items = digit_reader.DigitsDataset(source, "train", 32, HALF_MEAN, HALF_MEAN)
    for place in (0, 500, 1168):
        ours = (found.pixels[place] / 255 - 0.5) / 0.5
        assert np.abs(ours.transpose(2, 0, 1) - np.clip(items[place]["images"], -1, 1)).max() < 1.1 / 127
    assert found.labels == items.labels


def test_no_photograph_that_an_embedded_task_is_tested_on() -> None:
    tested = set(photographs.TEST_PHOTOS) | {source.file_name for source in PHOTO_SOURCES}
    assert not set(readers.PHOTO_FILES) & tested
    found = readers.read_photos(Path())
    assert found.pixels is not None
    assert found.pixels.shape[1:] == (96, 96, 3)
    assert len(found) > 500
    assert found.labels is None


def test_imagenet_has_labels_by_folder(tmp_path: Path) -> None:
    for name in ("n01", "n02"):
        (tmp_path / "imagenet" / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), "red").save(tmp_path / "imagenet" / "train" / name / "a.JPEG")
    found = readers.read_imagenet(tmp_path)
    assert (list(found.paths), found.labels) == (["n01/a.JPEG", "n02/a.JPEG"], [0, 1])
    report = PretrainTask("mae", "imagenet").check_data(tmp_path, "all")
    assert report.deviations == ("2 images where the official training split has 1,281,167",)


def test_archives_of_imagenet_are_its_folders(tmp_path: Path) -> None:
    """One fingerprint, hence one run: how a set is packed changes no number."""
    contents = {f"n0{index % 2}/{index}.JPEG": make_jpeg(index) for index in range(6)}
    write_folder(tmp_path / "folder" / "imagenet" / "train", contents)
    write_tar(tmp_path / "tars" / "imagenet" / "train" / "train-0.tar", contents)
    folder, tars = (readers.read_imagenet(tmp_path / name) for name in ("folder", "tars"))
    assert (tars.fingerprint, tars.labels, tars.coverage) == (folder.fingerprint, folder.labels, folder.coverage)
    assert tars.hash_labeled_images() == folder.hash_labeled_images()
    items = [SeededDataset(ImageFileDataset(pool, 8, (0.2, 1.0), "random", 2, False)) for pool in (folder, tars)]
    for index in range(6):
        first, second = (item[SeededIndex(index, 7)]["crops"] for item in items)
        assert torch.equal(first, second)
    limited = [pool.limit_items(3) for pool in (folder, tars)]
    assert np.array_equal(*(np.asarray(pool.load_image(1)) for pool in limited))
    write_tar(tmp_path / "bad" / "imagenet" / "train" / "n01440764.tar", {"x.JPEG": b"no image"})
    with pytest.raises(DataError, match=r"n01440764\.tar: n01440764/x\.JPEG cannot be decoded .* --skip-bad"):
        _ = ImageFileDataset(readers.read_imagenet(tmp_path / "bad"), 8, (0.2, 1.0), "bicubic", 1, False)[0]


def test_cifar_reads_train_only(tmp_path: Path) -> None:
    import pickle

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number in range(1, 6):
        table = {"data": np.full((2, 3072), number, np.uint8), "labels": [number, 0]}
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps(table))
    found = readers.read_cifar10(tmp_path)
    assert found.pixels is not None
    assert found.pixels[:, 0, 0, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert "by their MD5: data_batch_1" in found.deviations[0]
    with pytest.raises(DataError, match="there is no folder"):
        readers.read_cifar100(tmp_path)


def test_fingerprint_follows_the_images(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    first = readers.read_image_folder(tmp_path).fingerprint
    assert readers.read_image_folder(tmp_path).fingerprint == first
    Image.new("RGB", (9, 8), "red").save(tmp_path / "b.png")
    assert readers.read_image_folder(tmp_path).fingerprint != first


def test_health_check_has_its_own_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bank and queries are apart, and features that tell classes apart give 100 %."""
    many = make_pool(60)
    assert many.pixels is not None
    many.pixels[1::2] //= 4  # class 1 is dark
    recipe = PretrainRecipe.model_validate(MINIMAL_RECIPE)
    check = KnnMonitor(
        many,
        KnnMonitorSettings(bank_size=40, num_queries=20, k=5),
        BatchPreprocessor(many, recipe, 32, HALF_MEAN, HALF_MEAN),
    )
    assert len(set(check.item_indices)) == 60

    def features(model: Any, images: Any) -> Any:
        level = images.mean((1, 2, 3)) > -0.4
        return torch.stack([level.float(), 1 - level.float()], 1)

    monkeypatch.setattr(knn_monitor, "extract_pooled", features)
    encoder = torch.nn.Identity().train()
    assert check(encoder) == 100.0
    assert encoder.training, "it is left as it was"
    with pytest.raises(DataError, match="too few for 500 queries"):
        KnnMonitor(many, KnnMonitorSettings(), BatchPreprocessor(many, recipe, 32, HALF_MEAN, HALF_MEAN))


def test_classes_beside_images_are_those_of_imagenet(tmp_path: Path) -> None:
    write_tar(tmp_path / "imagenet" / "train" / "a.tar", {"a.jpg": make_jpeg(0), "a.cls": b"1000"})
    with pytest.raises(DataError, match=r"a\.jpg has the class 1000, and ImageNet's are 0 to 999"):
        readers.read_imagenet(tmp_path)


def test_archives_in_a_folder_of_images_are_not_advised_away(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    write_tar(tmp_path / "a.tar", {"a.jpg": make_jpeg(0)})
    with pytest.raises(DataError, match=r"a\.tar; tar archives are read with --data imagenet alone"):
        readers.read_image_folder(tmp_path)
