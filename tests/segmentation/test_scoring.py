"""Scoring label PNGs of any network on ADE20K."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli.main import main
from foundation.errors import DataError, UserError
from results.score_request import ScoreRequest
from segmentation.scoring import SegmentationScoreReport, score_label_images, score_segmentation_set
from segmentation.tasks import ADE20K, CAMVID, MINI_ADE, SEGFOLDER
from tests.segmentation.make import write_small_ade
from tests.wild_data.test_masks import CLASS_DICT, ROAD, SKY, make_writer

NAME = "ADE_val_00000001"


def score_ade20k(results: Path, root: Path, partial: bool = False) -> SegmentationScoreReport:
    return score_label_images(ADE20K, results, root, partial)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small set, with predictions equal to the truth except for ignored pixels."""
    ade = write_small_ade(tmp_path)
    (tmp_path / "results").mkdir()
    for path in (ade / "annotations" / "validation").iterdir():
        labels = np.array(Image.open(path))
        Image.fromarray(np.maximum(labels, 1)).save(tmp_path / "results" / path.name)
    return tmp_path


def test_truth_scores_100(root: Path) -> None:
    report = score_ade20k(root / "results", root, partial=True)
    assert report.data["metrics"]["mIoU"] == report.data["metrics"]["aAcc"] == 100
    assert report.data["images"] == 2
    assert report.data["partial"] is True
    assert any("PARTIAL" in line for line in report.lines)


def test_not_all_images_give_no_number(root: Path) -> None:
    with pytest.raises(DataError, match="2 of 2,000 predictions; the data themselves are not whole"):
        score_ade20k(root / "results", root)
    (root / "results" / f"{NAME}.png").unlink()
    with pytest.raises(DataError, match=f"1 of 2,000 predictions, the first missing is {NAME}"):
        score_ade20k(root / "results", root)
    assert score_ade20k(root / "results", root, partial=True).data["images"] == 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((40, 48)), "has label 0; predictions are 1 to 150; if the network writes 0 to 149, add 1"),
        (np.full((40, 48), 151), "has label 151"),
        (np.ones((20, 24)), "is 24 x 20 px but its label file is 48 x 40; predictions are scored at the label's own"),
        (np.ones((40, 48, 3)), "is a color image"),
    ],
)
def test_a_wrong_prediction_is_named(
    root: Path, labels: np.ndarray[tuple[int, ...], np.dtype[np.float64]], message: str
) -> None:
    Image.fromarray(labels.astype(np.uint8)).save(root / "results" / f"{NAME}.png")
    with pytest.raises(DataError, match=f"{NAME}.png {message}"):
        score_ade20k(root / "results", root, partial=True)


def test_a_prediction_of_no_image(root: Path) -> None:
    shutil.copy(root / "results" / f"{NAME}.png", root / "results" / "holiday.png")
    with pytest.raises(DataError, match=r"holiday\.png belongs to no image"):
        score_ade20k(root / "results", root, partial=True)


def test_a_prediction_for_another_split(root: Path) -> None:
    shutil.copy(root / "results" / f"{NAME}.png", root / "results" / "ADE_train_00000002.png")
    with pytest.raises(DataError, match=r"ADE_train_00000002\.png is a prediction for an image of the train split of"):
        score_ade20k(root / "results", root)
    shutil.rmtree(root / "ADEChallengeData2016" / "images" / "training")
    with pytest.raises(DataError, match=r"ADE_train_00000002\.png belongs to no image of the test split"):
        score_ade20k(root / "results", root)


def write_labels(folder: Path, image_folder: Path | None, *names: str) -> None:
    """Label PNGs of classes 0 and 1, and images."""
    for name in names:
        labels = np.random.default_rng(len(name)).integers(0, 2, (8, 8)).astype(np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(folder / f"{name}.png")
        if image_folder is not None:
            image_folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.stack([labels] * 3, -1)).save(image_folder / f"{name}.png")


def test_an_own_folder_needs_every_test_image(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("dark\nbright\n")
    write_labels(tmp_path / "labels" / "test", tmp_path / "images" / "test", "a", "b")
    write_labels(tmp_path / "results", None, "a", "b")
    report = score_label_images(SEGFOLDER, tmp_path / "results", tmp_path)
    assert report.data["metrics"]["mIoU"] == 100
    assert (report.data["images"], report.data["expected"], report.data["partial"]) == (2, 2, False)
    assert set(report.data["iou_by_class"]) == {"dark", "bright"}
    (tmp_path / "results" / "b.png").unlink()
    with pytest.raises(DataError, match="1 of 2 predictions, the first missing is b"):
        score_label_images(SEGFOLDER, tmp_path / "results", tmp_path)
    assert score_label_images(SEGFOLDER, tmp_path / "results", tmp_path, partial=True).data["partial"] is True
    Image.fromarray(np.full((8, 8), 2, np.uint8)).save(tmp_path / "results" / "b.png")
    with pytest.raises(DataError, match=r"b\.png has label 2; predictions are 0 to 1; if .* writes 1 to 2, subtract 1"):
        score_label_images(SEGFOLDER, tmp_path / "results", tmp_path)


def test_camvid_has_233_test_images(tmp_path: Path) -> None:
    write_labels(tmp_path / "CamVid" / "testannot", tmp_path / "CamVid" / "test", "a")
    write_labels(tmp_path / "results", None, "a")
    with pytest.raises(DataError, match="1 of 233 predictions; the data themselves are not whole"):
        score_label_images(CAMVID, tmp_path / "results", tmp_path)
    report = score_label_images(CAMVID, tmp_path / "results", tmp_path, partial=True)
    assert report.data["partial"] is True
    assert set(report.data["iou_by_class"]) == {"sky", "building"}


def test_the_command_scores_what_a_network_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The test images of the miniature are in the cache, whatever the data root."""
    for pair in MINI_ADE.find_dataset(tmp_path).splits["test"]:
        labels = np.maximum(np.array(Image.open(pair.label_path)), 1)
        Image.fromarray(labels).save(tmp_path / f"{pair.name}.png")
    assert main(["score", "mini_ade", "--results", str(tmp_path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["task"], data["images"], data["metrics"]["mIoU"]) == ("mini_ade", 24, 100)


def test_no_predictions(root: Path) -> None:
    with pytest.raises(DataError, match="there is no folder of predictions"):
        score_ade20k(root / "nowhere", root)
    (root / "empty").mkdir()
    with pytest.raises(DataError, match="holds no PNG files"):
        score_ade20k(root / "empty", root)


def test_a_real_networks_prediction(shared_data: Path) -> None:
    folder = shared_data / "ade20k"
    report = score_ade20k(folder / "ADEChallengeData2016" / "predictions" / "validation", folder, partial=True)
    rounded = {name: round(value, 2) for name, value in report.data["metrics"].items()}
    assert (rounded["mIoU"], rounded["mIoU_all"], rounded["aAcc"]) == (50.49, 4.04, 86.70)
    assert report.data["classes_present"] == 12
    assert "mIoU 50.49 % over the 12 classes present, 4.04 % over all 150" in report.lines[0]


def test_a_request_is_scored_and_kept(root: Path) -> None:
    request = ScoreRequest("ade20k", (root / "results",), root, partial=True, out_file=root / "score.json")
    report = score_segmentation_set(request)
    assert json.loads((root / "score.json").read_text())["metrics"] == report.data["metrics"]
    for change, message in (
        ({"rules": "got10k"}, "bench score ade20k has no --rules"),
        ({"truncate_to_integers": True}, "has no --int"),
        ({"group_by": "sequence"}, "has no --by"),
        ({"plots_dir": root}, "has no --plots"),
        ({"results": (root, root)}, "takes one folder of predictions, not 2"),
    ):
        with pytest.raises(UserError, match=message):
            score_segmentation_set(replace(request, **change))


def test_predictions_in_colors_are_refused_with_what_they_should_be(tmp_path: Path) -> None:
    """The label files may be in colors; predictions are numbers. A table of colors beside the data changes nothing."""
    make_writer(CLASS_DICT, "class_dict.csv", colors=(SKY, ROAD))(tmp_path / "data")
    with pytest.raises(DataError, match=r"test_a.png is a color image; predictions are class numbers from 0, in the"):
        score_label_images(SEGFOLDER, tmp_path / "data/labels/test", tmp_path / "data")
