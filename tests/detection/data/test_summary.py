"""The summary of a detection set counts objects and says what is odd; its sheet shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detection.tasks import COCOFOLDER
from tests.detection.data.coco_files import write_picture


@pytest.fixture(autouse=True)
def cache_here(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the digests of files out of the cache of whoever runs the tests."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def make_folder(root: Path, lines: str) -> None:
    """Write four images of 20 x 40 px in YOLO's layout; the first of each split has objects."""
    for number, split in enumerate(("train", "train", "train", "test")):
        write_picture(root / "images" / split / f"{number}.png", number)
        (root / "labels" / split).mkdir(parents=True, exist_ok=True)
    for name in ("train/0", "test/3"):
        (root / "labels" / f"{name}.txt").write_text(lines)
    (root / "data.yaml").write_text("names: [cat, dog, bird]\n")


def test_objects_are_counted_by_class_and_size(tmp_path: Path) -> None:
    make_folder(tmp_path, "0 .5 .5 .5 .5\n0 .3 .3 .2 .2\n2 .5 .5 .1 .1\n")
    summary = COCOFOLDER.summarize_data(tmp_path)
    assert summary.splits["train"].labels == {"cat": 2, "dog": 0, "bird": 1}
    facts = summary.splits["train"].facts["objects"]
    assert isinstance(facts, str) and facts.startswith("3, ") and "3 small (below 32 x 32 px), 0 large" in facts
    assert "train: 2 of 3 images have no object; are annotations missing?" in summary.findings
    assert "test: 1 class without objects: dog" in summary.findings


def test_boxes_of_the_whole_image_are_named_and_drawn(tmp_path: Path) -> None:
    make_folder(tmp_path, "0 .5 .5 1 1\n")
    summary = COCOFOLDER.summarize_data(tmp_path)
    assert "test: 1 of 1 boxes cover the whole image" in summary.findings
    assert sorted(summary.samples) == ["images/test/3.png", "images/train/0.png"], "images without objects show nothing"
    sheet = summary.draw_samples()
    assert [name for _, name in sheet.legend] == ["cat"] and len(sheet.pictures) == 2
    picture = np.asarray(sheet.pictures[0].image)
    assert picture.ndim == 3 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 2
