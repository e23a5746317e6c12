"""The summary of a segmentation set makes the usual mistakes visible; its sheet shows masks over their images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.pictures.palette import make_palette
from engine.summary.data_summary import DataSummary
from segmentation.tasks import SEGFOLDER

Labels = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def cache_here(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the summaries of labels out of the cache of whoever runs the tests."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def summarize(root: Path, make_labels: Callable[[int], Any], names: str = "ground\nship\n") -> DataSummary:
    """The summary of six images of which ``make_labels`` gives the masks."""
    root.mkdir(exist_ok=True)
    (root / "classes.txt").write_text(names)
    for split in ("train", "test"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(6):
            image = np.random.default_rng([number, len(split)]).integers(0, 255, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{number}.png")
            Image.fromarray(np.asarray(make_labels(number), np.uint8)).save(root / "labels" / split / f"{number}.png")
    return SEGFOLDER.summarize_data(root)


def draw_square(number: int, value: int = 1) -> Labels:
    """A mask of the ground with one square, which is elsewhere in each image, and a strip that is not scored."""
    labels = np.zeros((24, 32), np.uint8)
    labels[4 : 12 + number, 4:16] = value
    labels[:, 30:] = 255
    return labels


def test_classes_by_pixel_and_masks_are_described(tmp_path: Path) -> None:
    summary = summarize(tmp_path, draw_square)
    train = summary.splits["train"]
    ships = sum(int((draw_square(number) == 1).sum()) for number in range(6))
    scored = sum(int((draw_square(number) != 255).sum()) for number in range(6))
    assert train.labels == {
        "ground": pytest.approx(100 - 100 * ships / scored, abs=1e-3),
        "ship": pytest.approx(100 * ships / scored, abs=1e-3),
    }
    assert train.facts["masks"] == "gray, 8 bit 6; 2 of 2 classes have pixels; not scored: 6.2 % of an image"
    assert summary.findings == ()
    assert len(summary.samples) == 12


def test_the_sheet_shows_the_colors_of_the_legend_and_stripes_where_nothing_is_scored(tmp_path: Path) -> None:
    sheet = summarize(tmp_path, draw_square).draw_samples()
    assert [name for _, name in sheet.legend] == ["ground", "ship", "striped: not scored"]
    assert sheet.pictures[0].caption[0] == "train: 2 classes, 6.2 % not scored"
    pixels = np.asarray(sheet.pictures[0].image)
    overlay = pixels[:, pixels.shape[1] // 2 + 2 :]
    # 70 % of the color of the ground, over gray of at most 30 %
    corner = overlay[-20:, :20].reshape(-1, 3).mean(0)
    assert np.abs(corner - 0.7 * make_palette()[0] - 0.15 * 255).max() < 30
    strip = overlay[:, -10:].reshape(-1, 3)
    assert (strip == 255).all(1).any() and not (strip == 255).all(1).all()


def test_masks_without_the_object_are_seen(tmp_path: Path) -> None:
    summary = summarize(tmp_path, lambda _: np.zeros((24, 32), np.uint8))
    assert "train: 6 of 6 masks have one class alone, 6 of them ground, as 0: is the object missing in them?" in (
        summary.findings
    )
    assert "train: 100.0 % of the scored pixels are ground" in summary.findings
    assert summary.draw_samples().pictures[0].caption[0] == "train: ground alone"


def test_one_mask_for_all_and_a_class_that_is_ignored_are_seen(tmp_path: Path) -> None:
    summary = summarize(tmp_path, lambda _: draw_square(0))
    assert "train: 5 images have the very mask of another image" in summary.findings
    inverted = summarize(tmp_path / "b", lambda number: np.where(draw_square(number) == 1, 1, 255))
    assert any("% of the pixels are not scored; is an ignored value a class?" in each for each in inverted.findings)
