"""The options of a user's folder: each has an effect, and the effect is in the fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from classification.data.readers.folders import read_imagefolder_test
from classification.image_tasks import IMAGE_TASKS
from engine.data.data_options import make_data_options
from foundation.errors import DataError
from foundation.run_scope import open_run_scope
from tests.wild_data.test_images import write_classes, write_splits
from tests.wild_data.test_tables import BREEDS, NAMES, SPLITS, write_csv, write_images, write_kaggle

TASK = IMAGE_TASKS["imagefolder"]


def compute_fingerprint(root: Path, **options: Any) -> str:
    """The fingerprint of a folder under some options."""
    with open_run_scope(data_options=make_data_options(options)):
        return TASK.check_data(root).fingerprint


def write_nested(root: Path) -> None:
    write_classes(root, ("apple/rot", "apple/scab", "pear/rot", "pear/scab"), each=4)


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (write_nested, [{"nested_classes": each} for each in ("path", "leaf", "top")]),
        (write_splits("train", "test", "val"), [{}, {"exclude": ["val"]}, {"exclude": ["train/cat/cat_0.png"]}]),
        (
            lambda root: write_classes(root, ("train/cat", "train/dog", "test/cat", "test/dog"), each=4),
            [{}, {"layout": "classes", "nested_classes": "top"}, {"layout": "classes", "nested_classes": "path"}],
        ),
        (
            lambda root: (
                write_kaggle()(root),
                write_csv(root / "b.csv", "id,label", NAMES, BREEDS[::-1]),
                write_csv(root / "c.csv", "id,label,split", NAMES, BREEDS, SPLITS),
            ),
            [
                {"labels": "labels.csv", "exclude": ["b.csv", "c.csv"]},
                {"labels": "b.csv", "exclude": ["c.csv", "labels.csv"]},
                {"labels": "c.csv", "exclude": ["b.csv", "labels.csv"]},
            ],
        ),
    ],
)
def test_other_options_are_other_data(
    write: Callable[[Path], None], options: list[dict[str, Any]], tmp_path: Path
) -> None:
    write(tmp_path)
    assert len({compute_fingerprint(tmp_path, **each) for each in options}) == len(options)


def test_plain_splits_do_not_need_the_option(tmp_path: Path) -> None:
    write_splits("train", "test")(tmp_path)
    assert compute_fingerprint(tmp_path) == compute_fingerprint(tmp_path, layout="splits")


def test_the_order_of_a_table_does_not_matter(tmp_path: Path) -> None:
    for name, step in (("a", 1), ("b", -1)):
        write_kaggle("id,label", NAMES[::step], BREEDS[::step])(tmp_path / name)
    a, b = (compute_fingerprint(tmp_path / name, labels="labels.csv") for name in "ab")
    write_kaggle("id,label", NAMES, BREEDS)(tmp_path / "a")
    assert compute_fingerprint(tmp_path / "a", labels="labels.csv") == a != b, "the images of a and b differ"
    write_csv(tmp_path / "a" / "labels.csv", "id,label", NAMES[::-1], BREEDS[::-1])
    assert compute_fingerprint(tmp_path / "a", labels="labels.csv") == a


def test_a_table_outside_of_the_folder(tmp_path: Path) -> None:
    write_images(tmp_path / "photos")
    write_csv(tmp_path / "labels.csv", "id,label", NAMES, BREEDS)
    assert compute_fingerprint(tmp_path / "photos", labels=str(tmp_path / "labels.csv"))


@pytest.mark.parametrize(("splits", "count"), [(SPLITS, 4), (["train"] * 8 + ["val"] * 4, 4), (None, 12)])
def test_a_finished_model_is_tested_on_the_rows_of_the_test_split(
    splits: list[str] | None, count: int, tmp_path: Path
) -> None:
    columns = (NAMES, BREEDS, splits) if splits else (NAMES, BREEDS)
    write_kaggle("id,label,split" if splits else "id,label", *columns)(tmp_path)
    with open_run_scope(data_options=make_data_options({"labels": "labels.csv"})):
        assert len(read_imagefolder_test(tmp_path, whole_folder=True).splits["test"].labels) == count


def test_a_table_of_test_rows_alone_is_for_finished_models(tmp_path: Path) -> None:
    write_kaggle("id,label,split", NAMES, BREEDS, ["test"] * 12)(tmp_path)
    with open_run_scope(data_options=make_data_options({"labels": "labels.csv"})):
        assert len(read_imagefolder_test(tmp_path, whole_folder=True).splits["test"].labels) == 12
        with pytest.raises(DataError, match="has no train split, only test"):
            TASK.check_data(tmp_path)
