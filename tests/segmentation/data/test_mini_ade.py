"""The miniature: genuine layout, deterministic, training and validation pixels apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foundation.files import sha256_file
from segmentation.data.dataset_layout import read_ade20k
from segmentation.data.files import read_raw_labels
from segmentation.data.mini_ade import (
    PHOTO_SOURCES,
    SCENE_SIZE,
    SPLIT_SIZES,
    compose_scene,
    make_mini_ade,
    split_quarters,
)
from segmentation.tasks import MINI_ADE


def test_made_twice_it_is_the_same(tmp_path: Path) -> None:
    first, second = make_mini_ade(tmp_path / "a"), make_mini_ade(tmp_path / "b")
    files = sorted(path.relative_to(first) for path in first.rglob("ADE_*"))
    assert len(files) == 2 * sum(SPLIT_SIZES.values())
    assert all(sha256_file(first / path) == sha256_file(second / path) for path in files)
    stamp = (first / "ADEChallengeData2016").stat().st_mtime_ns
    assert make_mini_ade(tmp_path / "a") == first
    assert (first / "ADEChallengeData2016").stat().st_mtime_ns == stamp, "made once"


def test_it_is_read_by_the_loader_of_the_real_set() -> None:
    report = MINI_ADE.check_data(Path("nowhere"), "all")
    assert report.splits == MINI_ADE.expected
    assert not report.deviations
    found = MINI_ADE.find_dataset(Path("nowhere"))
    assert found.label_space == read_ade20k(found.root.parent).label_space


def test_every_class_is_in_both_splits() -> None:
    found = MINI_ADE.find_dataset(Path("nowhere"))
    for pairs in found.splits.values():
        seen = set().union(*(np.unique(read_raw_labels(pair.label_path)).tolist() for pair in pairs))
        assert seen == {0, *(source.label for source in PHOTO_SOURCES)}


def test_no_photograph_pixel_is_in_both_splits() -> None:
    """A photograph with two black and two white quarters, opposite each other, gives scenes of one color only."""
    photograph = np.full((200, 200, 3), 250, np.uint8)
    photograph[:100, :100] = photograph[100:, 100:] = 0
    for training in (True, False):
        image, label = compose_scene([split_quarters(photograph, training)] * len(PHOTO_SOURCES), seed=3)
        assert image.shape == (*SCENE_SIZE, 3)
        assert label.shape == SCENE_SIZE
        assert (image.max() == 0) if training else (image.min() > 200)
