"""Wrong numbers that came out of odd folders, links and caches, with exit code 0 and no warning."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analysis.record import Analysis
from analysis.store import load_or_compute
from classification.data.readers.folders import read_imagefolder
from classification.image_tasks import IMAGE_TASKS
from classification.probes.feature_cache import store_features
from engine.data import file_hashes
from engine.data.data_options import make_data_options
from engine.data.file_hashes import hash_files, require_unchanged_files
from foundation.errors import DataError, IncompleteError
from foundation.run_scope import open_run_scope
from segmentation.data.own_folder.read_folder import read_segfolder
from tests.wrong_numbers.test_image_content import write_bmp
from tracking.tasks import TRACKFOLDER


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; digests are kept at once, although the files were written just now."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(file_hashes, "SETTLED_SECONDS", -1.0)
    return tmp_path / "cache"


def write_folder(root: Path, *splits: str) -> Path:
    """Two classes of four images in each split."""
    for number, split in enumerate(splits):
        for label, name in enumerate(("dark", "light")):
            for index in range(4):
                write_bmp(root / split / name / f"{index}.bmp", 100 * number + 10 * label + index)
    return root


@pytest.mark.parametrize("splits", [("Train", "Test"), ("training", "testing"), ("TRAIN", "VALID", "TEST")])
def test_split_folders_are_not_taken_for_classes(tmp_path: Path, splits: tuple[str, ...]) -> None:
    found = read_imagefolder(write_folder(tmp_path / "photos", *splits))
    assert set(found.class_names.values()) == {"dark", "light"}
    assert [len(split.labels) for split in found.splits.values()] == [8] * len(splits)
    assert found.notes[0].startswith("splits: train is ")


def test_a_split_under_another_name_is_not_left_out(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", "train", "test", "valid")
    assert set(read_imagefolder(root).splits) == {"train", "val", "test"}
    (root / "val").symlink_to("valid")
    assert set(read_imagefolder(root).splits) == {"train", "val", "test"}
    write_folder(root, "dev")
    with pytest.raises(DataError, match="dev and val, and both mean the val split; leave one out with --exclude val"):
        read_imagefolder(root)


def test_classes_may_be_named_like_splits(tmp_path: Path) -> None:
    for number, name in enumerate(("valid", "invalid")):
        for index in range(4):
            write_bmp(tmp_path / "labels" / name / f"{index}.bmp", 10 * number + index)
    with pytest.raises(DataError, match="valid looks like a split and invalid does not; add --layout classes if each"):
        read_imagefolder(tmp_path / "labels")
    with open_run_scope(data_options=make_data_options({"layout": "classes"})):
        assert set(read_imagefolder(tmp_path / "labels").class_names.values()) == {"valid", "invalid"}


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", "train", "test")
    before = IMAGE_TASKS["imagefolder"].check_data(root)
    write_bmp(root / "train/dark/.ipynb_checkpoints/0-checkpoint.bmp", 999)
    (root / "train/dark/._0.bmp").write_bytes(b"\0\5\x16\7 not an image")
    assert IMAGE_TASKS["imagefolder"].check_data(root).fingerprint == before.fingerprint


def test_a_link_to_its_own_folder_does_not_repeat_images(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", "train", "test")
    (root / "test/dark/self").symlink_to(".")
    (root / "test/light/more").mkdir()
    (root / "test/light/0.bmp").rename(root / "test/light/more/0.bmp")
    with open_run_scope(data_options=make_data_options({"nested_classes": "top"})):
        assert IMAGE_TASKS["imagefolder"].check_data(root).splits["test"] == 8


def test_images_in_an_unread_format_are_not_left_out(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", "train", "test")
    (root / "test/light/1.bmp").rename(root / "test/light/1.PSD")
    with pytest.raises(DataError, match=r"1\.PSD is an image in a format that bench does not open"):
        read_imagefolder(root)
    (root / "test/light/1.PSD").unlink()
    read_imagefolder(root)


def write_labeled_images(root: Path) -> Path:
    for split in ("train", "test"):
        for index in range(2):
            for kind, shape, high in (("images", (8, 8, 3), 255), ("labels", (8, 8), 2)):
                path = root / kind / split / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.random.default_rng(index).integers(0, high, shape, np.uint8)).save(path)
    (root / "classes.txt").write_text("sky\nroad\n")
    return root


def fingerprint_segfolder(root: Path) -> str:
    dataset = read_segfolder(root)
    return dataset.compute_fingerprint(dataset.hash_contents())


def test_other_class_names_are_other_labels(tmp_path: Path) -> None:
    root = write_labeled_images(tmp_path / "data")
    before = fingerprint_segfolder(root)
    (root / "classes.txt").write_text("road\nsky\n")
    assert fingerprint_segfolder(root) != before, "the IoU of each class would stand under the name of the other one"
    (root / "classes.txt").write_text("sky \nroad\n\n", encoding="utf-8-sig")  # as editors of Windows write it
    assert fingerprint_segfolder(root) == before


def test_a_segmentation_split_under_another_name_is_not_left_out(tmp_path: Path) -> None:
    root = write_labeled_images(tmp_path / "data")
    for part in ("images", "labels"):
        shutil.copytree(root / part / "test", root / part / "validation")
    assert len(read_segfolder(root).splits["val"]) == 2


def test_training_sequences_are_not_tested_beside_a_folder_test(tmp_path: Path) -> None:
    for split in ("Train", "Test"):
        folder = tmp_path / "videos" / split / "cat"
        for index in range(3):
            write_bmp(folder / f"{index}.bmp", index)
        (folder / "groundtruth.txt").write_text("1,1,5,5\n" * 3)
    with pytest.raises(DataError, match="Test looks like the test split"):
        TRACKFOLDER.read_test_videos(tmp_path / "videos")
    for split in ("Train", "Test"):
        (tmp_path / "videos" / split).rename(tmp_path / "videos" / split.lower())
    assert len(TRACKFOLDER.read_test_videos(tmp_path / "videos")) == 1


def test_two_sequences_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a/b", "a_b", "b"):
        write_bmp(tmp_path / name / "0.bmp", len(name))
        (tmp_path / name / "groundtruth.txt").write_text("1,1,5,5\n")
    with pytest.raises(DataError, match="would both be the sequence a_b"):
        TRACKFOLDER.read_test_videos(tmp_path)
    (tmp_path / "a_b").rename(tmp_path / "a_c")
    assert [video.name for video in TRACKFOLDER.read_test_videos(tmp_path)] == ["a_b", "a_c", "b"]


@pytest.mark.parametrize("suffix", ["times", "time", "confidence"])
def test_a_sequence_with_the_name_of_a_result_file_is_refused(suffix: str, tmp_path: Path) -> None:
    """The times of ``car`` were written over the boxes of ``car_times``."""
    for name in ("car", f"car_{suffix}"):
        write_bmp(tmp_path / name / "0.bmp", len(name))
        (tmp_path / name / "groundtruth.txt").write_text("1,1,5,5\n")
    with pytest.raises(DataError, match=f"would both write the result file car_{suffix}.txt; rename"):
        TRACKFOLDER.read_test_videos(tmp_path)
    (tmp_path / "car").rename(tmp_path / "bus")
    assert len(TRACKFOLDER.read_test_videos(tmp_path)) == 2


def test_a_link_that_leads_elsewhere_during_the_run_is_noticed(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "new")):
        write_bmp(tmp_path / name / "0.bmp", number)
    current = tmp_path / "current"
    current.symlink_to("old")
    with open_run_scope():
        hash_files(current, ["0.bmp"])
        require_unchanged_files()
        current.unlink()
        current.symlink_to("new")
        with pytest.raises(DataError, match="current were changed while the run was reading them"):
            require_unchanged_files()


def test_an_analysis_of_images_that_changed_is_not_kept(tmp_path: Path) -> None:
    write_bmp(tmp_path / "data/0.bmp", 0)

    def compute() -> Any:
        write_bmp(tmp_path / "data/0.bmp", 1)
        return SimpleNamespace(files={}, analysis=Analysis.model_construct())

    with open_run_scope():
        hash_files(tmp_path / "data", ["0.bmp"])
        with pytest.raises(DataError, match="were changed while the run was reading them"):
            load_or_compute(tmp_path / "runs", "cka-a", "0" * 16, compute, force_new=False)
    assert not list((tmp_path / "runs").rglob("*.json"))


def test_inodes_of_64_bits_can_be_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bmp(tmp_path / "data/0.bmp", 0)
    real = os.stat(tmp_path / "data/0.bmp")  # noqa: PTH116 - what the module under test calls
    fields = {name: getattr(real, name) for name in ("st_mode", "st_size", "st_mtime_ns", "st_ctime_ns")}
    large = SimpleNamespace(st_ino=(1 << 64) - 5, **fields)
    system = SimpleNamespace(stat=lambda _: large, path=os.path, fsencode=os.fsencode, fsdecode=os.fsdecode)
    monkeypatch.setattr(file_hashes, "os", system)
    first = hash_files(tmp_path / "data", ["0.bmp"])
    monkeypatch.setattr(file_hashes, "_read_digest", lambda *_: pytest.fail("the stored digest was not used"))
    assert hash_files(tmp_path / "data", ["0.bmp"]) == first


def test_a_cache_that_cannot_be_written_is_named_and_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = (np.arange(2, dtype=np.float32).reshape(1, 2), np.ones(1, np.int64))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    cached = store_features({}, 1, [batch])
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    kept = store_features({}, 1, [batch])
    said = capsys.readouterr().err
    assert re.match(r"the cache folder .* cannot be written \(.*\); name another one with BENCH_CACHE; ", said)
    for one, other in zip(cached, kept, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    with pytest.raises(IncompleteError, match="1 of 2 images"):
        store_features({}, 2, [batch])
