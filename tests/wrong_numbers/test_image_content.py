"""Points 1 and 3: an image set is its content, wherever it lies and whatever its files are called or dated."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.run_cell import CellRequest, CellResult, run_cell
from classification.data.image_collections import ImageFiles
from classification.data.readers.fine_grained import read_cars
from classification.image_tasks import IMAGE_TASKS
from classification.probes import feature_cache
from engine.data import file_hashes
from engine.data.duplicates import judge_duplicates
from foundation.errors import DataError
from foundation.run_scope import open_run_scope
from pretraining.data.readers import read_image_folder
from tests.classification.data import make

TASK = IMAGE_TASKS["imagefolder"]
SIDE = 32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; digests are kept at once, although the files were written just now."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(file_hashes, "SETTLED_SECONDS", -1.0)
    return tmp_path / "cache"


def write_bmp(path: Path, seed: int, low: int = 0, high: int = 255) -> None:
    """Noise between two gray values; all these files have one size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(low, high, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes that any network tells apart, six images of each in train and four in test."""
    root = tmp_path / "photos"
    for split, count, first in (("train", 6, 0), ("test", 4, 100)):
        for number, name in enumerate(("dark", "light")):
            for index in range(count):
                low = 190 * number
                write_bmp(root / split / name / f"{index}.bmp", first + 10 * number + index, low, low + 60)
    return root


def run_knn(root: Path, out: Path, *overrides: str, **settings: Any) -> CellResult:
    """The command's own way, with a tiny network."""
    small = (f"img_size={SIDE}", "pool=avg", "k=1", "workers=0", *overrides)
    request = CellRequest("imagefolder", "vit_nano", "knn", "random", "smoke", 0, small, root, out, "cpu", **settings)
    return run_cell(request)


def get_top1(result: CellResult) -> float:
    assert result.record.result is not None
    return result.record.result.metrics["top1"].value


def swap_contents(first: Path, second: Path) -> None:
    one, other = first.read_bytes(), second.read_bytes()
    assert len(one) == len(other)
    first.write_bytes(other)
    second.write_bytes(one)


def test_contents_swapped_between_two_classes_are_other_data(photos: Path, tmp_path: Path) -> None:
    before = run_knn(photos, tmp_path / "runs")
    assert get_top1(before) == 100
    for index in range(4):
        swap_contents(photos / f"test/dark/{index}.bmp", photos / f"test/light/{index}.bmp")
    after = run_knn(photos, tmp_path / "runs")
    assert not after.from_record
    assert after.record.run_id != before.record.run_id
    assert after.record.data.fingerprint != before.record.data.fingerprint
    assert get_top1(after) == 0, "features of the old test images would still give 100"


def test_swapped_training_images_give_other_features(photos: Path, tmp_path: Path) -> None:
    before = run_knn(photos, tmp_path / "runs")
    for index in range(6):
        swap_contents(photos / f"train/dark/{index}.bmp", photos / f"train/light/{index}.bmp")
    again = run_knn(photos, tmp_path / "runs", force_new=True)
    assert (get_top1(before), get_top1(again)) == (100, 0)


def test_noise_of_the_same_names_and_sizes_is_not_answered_from_the_record(photos: Path, tmp_path: Path) -> None:
    before = run_knn(photos, tmp_path / "runs")
    other = tmp_path / "other"
    for seed, path in enumerate(sorted(photos.rglob("*.bmp"))):
        write_bmp(other / path.relative_to(photos), 1000 + seed)
    after = run_knn(other, tmp_path / "runs")
    assert not after.from_record
    assert after.record.comparability != before.record.comparability


def test_a_copy_elsewhere_is_the_same_data(photos: Path, tmp_path: Path) -> None:
    before = run_knn(photos, tmp_path / "runs")
    shutil.copytree(photos, tmp_path / "copy")
    after = run_knn(tmp_path / "copy", tmp_path / "runs")
    assert after.from_record and after.record.run_id == before.record.run_id


def test_a_new_time_alone_is_no_other_data(photos: Path) -> None:
    before = TASK.check_data(photos)
    for path in photos.rglob("*.bmp"):
        os.utime(path, (1, 1))
    assert TASK.check_data(photos).fingerprint == before.fingerprint
    assert before.coverage == "the bytes of every file"


def test_content_changed_under_its_old_time_is_other_data(photos: Path) -> None:
    before, path = TASK.check_data(photos).fingerprint, photos / "test" / "dark" / "0.bmp"
    old = path.stat()
    while path.stat().st_ctime_ns == old.st_ctime_ns:  # file systems count time in steps
        write_bmp(path, 77)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (old.st_size, old.st_mtime_ns, old.st_ino)
    assert TASK.check_data(photos).fingerprint != before


def test_fresh_reads_no_features_from_the_cache(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_knn(photos, tmp_path / "runs")
    with open_run_scope(trusts_caches=False):
        (entry, *_) = feature_cache.list_cache_entries()
        assert feature_cache.load_features(entry.key_fields) is None
    assert feature_cache.load_features(entry.key_fields) is not None

    class CacheReadError(Exception):
        """Raised where the cache is read."""

    def refuse_to_read(path: Path) -> Any:
        raise CacheReadError(path)

    monkeypatch.setattr(feature_cache, "_read_manifest", refuse_to_read)
    assert get_top1(run_knn(photos, tmp_path / "runs", force_new=True)) == 100
    with pytest.raises(CacheReadError):
        run_knn(photos, tmp_path / "runs", "temperature=0.1")


def test_images_that_change_while_they_are_read_give_no_number_and_no_cache(
    photos: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_image, victim = ImageFiles.load_image, photos / "train" / "light" / "5.bmp"

    def load_and_write(self: ImageFiles, index: int) -> Image.Image:
        swap_contents(victim, photos / "train" / "dark" / "5.bmp")
        return load_image(self, index)

    monkeypatch.setattr(ImageFiles, "load_image", load_and_write)
    with pytest.raises(DataError, match=r"were changed while the run was reading them \(last: train/.*bmp\)"):
        run_knn(photos, tmp_path / "runs")
    assert not list(cache.rglob("features/*.json"))


def copy_train_to_test(root: Path) -> str:
    shutil.rmtree(root / "test")
    shutil.copytree(root / "train", root / "test")
    return "12 items of test have the content of an item of train: test/dark/0.bmp = train/dark/0.bmp"


def copy_one_image(root: Path) -> str:
    shutil.copy(root / "train/light/2.bmp", root / "test/light/renamed.bmp")
    return "1 item of test has the content of an item of train: test/light/renamed.bmp = train/light/2.bmp"


def copy_to_val(root: Path) -> str:
    shutil.copytree(root / "train", root / "val")
    return "12 items of val have the content of an item of train: val/dark/0.bmp = train/dark/0.bmp"


@pytest.mark.parametrize("leak", [copy_train_to_test, copy_one_image, copy_to_val])
def test_training_images_in_another_split_are_refused(
    leak: Callable[[Path], str], photos: Path, tmp_path: Path
) -> None:
    sentence = leak(photos)
    assert TASK.check_data(photos).duplicates[0].startswith(sentence)
    with pytest.raises(DataError, match="add --allow-duplicates"):
        run_knn(photos, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    allowed = run_knn(photos, tmp_path / "runs", allow_duplicates=True)
    assert allowed.record.data.duplicates[0].startswith(sentence)


def test_a_test_split_that_is_a_link_to_train_is_refused(photos: Path) -> None:
    """No folder is read twice, so not even ``--allow-duplicates`` helps here."""
    shutil.rmtree(photos / "test")
    (photos / "test").symlink_to(photos / "train")
    with pytest.raises(DataError, match=r"train and .*test are one folder; give the train split its own images"):
        TASK.check_data(photos)


def test_the_same_image_twice_in_train_is_allowed(photos: Path) -> None:
    shutil.copy(photos / "train/light/2.bmp", photos / "train/light/renamed.bmp")
    assert not TASK.check_data(photos).duplicates


def test_an_official_set_may_repeat_a_few_images_but_not_a_split() -> None:
    train = [(f"train/{number}", str(number)) for number in range(100)]
    few = [(f"test/{number}", str(number + 95)) for number in range(100)]  # 5 of 100
    duplicates, notes = judge_duplicates({"train": train, "test": few}, is_official=True)
    assert not duplicates and notes[0].startswith("5 items of test have the content of an item of train")
    assert judge_duplicates({"train": train, "test": few}, is_official=False) == (notes, ())
    linked = [(f"test/{number}", str(number + 90)) for number in range(100)]
    duplicates, notes = judge_duplicates({"train": train, "test": linked}, is_official=True)
    assert duplicates and not notes


def test_cars_whose_test_folder_is_linked_to_train_are_refused(tmp_path: Path) -> None:
    """Both folders count from 00001, so counts, names and labels look official."""
    folder = make.write_cars(tmp_path)
    assert len(read_cars(tmp_path).splits["test"].labels) == 12
    shutil.rmtree(folder / "cars_test")
    (folder / "cars_test").symlink_to(folder / "cars_train")
    assert "12 items of test have the content" in IMAGE_TASKS["cars"].check_data(tmp_path).duplicates[0]


def test_the_images_of_a_pre_training_are_their_content(photos: Path, tmp_path: Path) -> None:
    before = read_image_folder(photos).fingerprint
    shutil.copytree(photos, tmp_path / "copy")
    assert read_image_folder(tmp_path / "copy").fingerprint == before
    path = tmp_path / "copy" / "train" / "dark" / "0.bmp"
    write_bmp(path, 5)
    assert read_image_folder(tmp_path / "copy").fingerprint != before
