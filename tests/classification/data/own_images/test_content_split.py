"""The split of images that come without: fixed by their content, and by nothing else."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from classification.data.own_images.content_split import require_one_label, split_by_content
from classification.data.readers.folders import read_imagefolder, read_imagefolder_test
from foundation.errors import DataError
from foundation.run_scope import open_run_scope
from tests.wild_data.test_images import write_classes

DIGESTS = [f"{number:064x}" for number in range(40)]


def split_contents(root: Path) -> dict[str, set[bytes]]:
    """The contents of the files of each split."""
    return {
        name: {split.images.load_image(item).tobytes() for item in range(len(split.images))}
        for name, split in read_imagefolder(root).splits.items()
    }


def test_a_fifth_of_each_class_is_test() -> None:
    labels = ["cat"] * 30 + ["dog"] * 10
    chosen = split_by_content(labels, DIGESTS, "x")
    assert Counter(zip(labels, chosen, strict=True)) == {
        ("cat", "test"): 6,
        ("cat", "val"): 4,
        ("cat", "train"): 20,
        ("dog", "test"): 2,
        ("dog", "val"): 1,
        ("dog", "train"): 7,
    }


def test_the_order_and_the_other_images_of_other_classes_do_not_matter() -> None:
    both = split_by_content(["cat"] * 20 + ["dog"] * 20, DIGESTS, "x")
    assert split_by_content(["dog"] * 20, DIGESTS[20:], "x") == both[20:]
    assert split_by_content(["cat"] * 20, DIGESTS[19::-1], "x") == both[19::-1]


@pytest.mark.parametrize("copies", [1, 2, 7])
def test_copies_are_on_one_side(copies: int) -> None:
    digests = [digest for digest in DIGESTS[:12] for _ in range(copies if digest < DIGESTS[4] else 1)]
    chosen = split_by_content(["cat"] * len(digests), digests, "x")
    assert set(chosen) == {"train", "val", "test"}
    assert len(set(zip(digests, chosen, strict=True))) == 12
    assert chosen.count("test") <= max(1, round(0.2 * len(digests)))


@pytest.mark.parametrize("sizes", [(1, 1, 8), (8, 8, 8), (2, 1, 1), (5, 1, 1, 1)])
def test_no_split_is_empty(sizes: tuple[int, ...]) -> None:
    digests = [digest for digest, size in zip(DIGESTS, sizes, strict=False) for _ in range(size)]
    assert set(split_by_content(["cat"] * len(digests), digests, "x")) == {"train", "val", "test"}


def test_a_class_of_two_contents_is_too_small() -> None:
    with pytest.raises(DataError, match="class 'cat' in x has 2 images of different content; without a test folder"):
        split_by_content(["cat"] * 4, [DIGESTS[0]] * 3 + DIGESTS[1:2], "x")


def test_one_content_has_one_label() -> None:
    require_one_label(["a", "b"], ["cat", "cat"], ["1f", "1f"], "x")
    with pytest.raises(DataError, match="a and b in x are one image with two labels, cat and dog; leave the wrong one"):
        require_one_label(["a", "b"], ["cat", "dog"], ["1f", "1f"], "x")


def test_renamed_files_stay_in_their_split(tmp_path: Path) -> None:
    write_classes(tmp_path / "a", ("cat", "dog"), each=12)
    before = split_contents(tmp_path / "a")
    for number, path in enumerate(sorted((tmp_path / "a").rglob("*.png"), reverse=True)):
        target = tmp_path / "b" / path.parent.name / f"photo {number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert split_contents(tmp_path / "b") == before
    with open_run_scope(trusts_caches=False):
        assert split_contents(tmp_path / "b") == before


def test_a_finished_model_is_tested_on_the_part_of_a_run(tmp_path: Path) -> None:
    write_classes(tmp_path, ("cat", "dog"), each=12)
    part, run = read_imagefolder_test(tmp_path, whole_folder=False), read_imagefolder(tmp_path)
    assert list(part.splits) == ["test"]
    assert part.splits["test"].images.hash_contents() == run.splits["test"].images.hash_contents()
    assert len(read_imagefolder_test(tmp_path, whole_folder=True).splits["test"].labels) == 24
