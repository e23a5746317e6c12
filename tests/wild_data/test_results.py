"""Folders of predictions as people have them: scored, or refused with what was found and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.score_results import score_results
from foundation.errors import UserError
from results.score_request import ScoreRequest
from segmentation.data.own_folder.read_folder import read_segfolder
from segmentation.label_shift import LabelShiftTrial
from tests.segmentation.make import save_pair
from tests.wild_data.test_masks import ROAD, SKY, make_writer

SCENE = np.array([[2, 3], [4, 7]], np.uint8).repeat(8, 0).repeat(8, 1)  # no wall, which is label 1 of ADE20K
LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class WildResults:
    """A folder of predictions for two images whose label map is ``SCENE``.

    Attributes:
        name: what it is; names the test.
        change: makes a prediction of the true label map.
        file_name: name of the file of image ``NAME``.
        refused: words that the refusal must hold; empty if it is scored.
        score: mIoU in percent, where it is scored.
    """

    name: str
    change: Callable[[LabelMap], LabelMap]
    file_name: str = "{name}.png"
    refused: tuple[str, ...] = ()
    score: float | None = None


RESULTS = [
    WildResults("as they should be", lambda labels: labels, score=100),
    WildResults(
        "labels from 0",
        lambda labels: labels - 1,
        refused=("results look shifted by one", "with 1 added to each 100.0 %", "add 1 to every label"),
    ),
    WildResults(
        "labels one too high",
        lambda labels: labels + 1,
        refused=("results look shifted by one", "with 1 subtracted from each 100.0 %", "subtract 1 from every label"),
    ),
    WildResults("labels from 0 with a wall", lambda labels: labels * 0, refused=("label 0", "add 1")),
    WildResults("one class everywhere", lambda labels: labels * 0 + 2, score=100 * 0.25 / 4),
    WildResults("wrong without a shift", lambda labels: labels[::-1, ::-1], score=0),
    WildResults("colours", lambda labels: np.stack([labels] * 3, 2), refused=("a.png is a color image",)),
    WildResults("half the size", lambda labels: labels[::2, ::2], refused=("8 x 8 px", "16 x 16", "resize the logits")),
    WildResults("names with an ending", lambda labels: labels, "{name}_mask.png", ("a_mask.png", "remove the ending")),
    WildResults("other images", lambda labels: labels, "x{name}.png", ("xa.png belongs to no image", "--data-root")),
    WildResults("another format", lambda labels: labels, "{name}.tif", ("no PNG files, only a.tif", "a.png")),
    WildResults("a subfolder", lambda labels: labels, "city/{name}.png", ("no PNG files, only city", "a.png")),
]


@pytest.mark.parametrize("case", RESULTS, ids=lambda case: case.name)
def test_a_folder_of_predictions_is_scored_or_refused(case: WildResults, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_pair(tmp_path, "validation", name, SCENE)
        path = tmp_path / "results" / case.file_name.format(name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(case.change(SCENE))).save(path)
    request = ScoreRequest("ade20k", (tmp_path / "results",), tmp_path, partial=True)
    if not case.refused:
        assert score_results(request).data["metrics"]["mIoU"] == case.score
        return
    with pytest.raises(UserError) as refusal:
        score_results(request)
    assert not [words for words in case.refused if words not in str(refusal.value)], refusal.value


def test_an_image_of_another_format_beside_the_predictions_is_not_left_out(tmp_path: Path) -> None:
    for name, ending in (("a", "png"), ("b", "bmp")):
        save_pair(tmp_path, "validation", name, SCENE)
        (tmp_path / "results").mkdir(exist_ok=True)
        Image.fromarray(SCENE).save(tmp_path / "results" / f"{name}.{ending}")
    with pytest.raises(UserError, match=r"b\.bmp is not read, and 1 PNG files beside it are"):
        score_results(ScoreRequest("ade20k", (tmp_path / "results",), tmp_path, partial=True))


def test_predictions_for_masks_of_colours_are_class_numbers(tmp_path: Path) -> None:
    """Whatever a user's own label files hold, predictions hold 0 to the number of classes minus 1."""
    make_writer("sky,10,20,30\nroad,128,64,128\n", "class_dict.csv", colors=(SKY, ROAD))(tmp_path / "data")
    (tmp_path / "results").mkdir()
    for pair in read_segfolder(tmp_path / "data").splits["test"]:
        colors = np.array(Image.open(pair.label_path))
        labels = (colors == np.array(ROAD)).all(2).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / "results" / f"{pair.name}.png")
    request = ScoreRequest("segfolder", (tmp_path / "results",), tmp_path / "data")
    report = score_results(request)
    assert report.data["metrics"]["mIoU"] == 100
    assert "class_dict.csv: 2 colours (sky, road)" in report.text
    with pytest.raises(UserError, match="--ignore and --map leave 1 of the 2 classes"):
        score_results(replace(request, data_options={"ignore": [1]}))


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_a_shift_is_not_seen_in_noise(num_classes: int) -> None:
    draw = np.random.default_rng(num_classes)
    trial = LabelShiftTrial(num_classes)
    truth = draw.integers(0, num_classes, (40, 40)).astype(np.uint8)
    trial.add_image(draw.integers(0, num_classes, (40, 40)), truth)
    assert trial.describe_shift() == ""


def test_the_wrong_way_round_is_not_a_shift() -> None:
    trial = LabelShiftTrial(2)
    truth = np.array([[0, 1, 1, 1]], np.uint8)
    trial.add_image(1 - truth.astype(np.int64), truth)
    assert trial.describe_shift() == ""
