"""Images without labels: label PNGs at their own size, overlays, and the names of the classes; all of it or nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.evaluation.model_source import ModelSource
from foundation.errors import BenchError, UserError
from segmentation.as_is.predict import predict_images
from segmentation.tasks import MINI_ADE
from tests.segmentation.as_is.conftest import MmsegModel


def list_images() -> list[Path]:
    return [pair.image_path for pair in MINI_ADE.find_dataset(Path("nowhere")).splits["test"][:3]]


@pytest.mark.parametrize("kind", ["run", "config"])
def test_labels_overlays_and_classes(kind: str, run_folder: Path, mmseg_model: MmsegModel, tmp_path: Path) -> None:
    source = ModelSource(run=run_folder, device="cpu") if kind == "run" else mmseg_model.source
    expected = run_folder / "predictions" if kind == "run" else mmseg_model.predictions
    out = tmp_path / "new" / "out"
    report = predict_images(source, list_images(), out)
    assert report.data["images"] == 3
    assert report.data["first_label"] == 1
    assert report.text.startswith("3 images segmented (slide 64/")
    assert sorted(path.name for path in out.iterdir()) == ["classes.csv", "labels", "overlays"]
    assert list(out.parent.iterdir()) == [out]
    with (out / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["value"]) for row in rows] == list(range(1, 151))
    assert rows[2]["name"] == "sky"
    total = np.zeros(256, np.int64)
    for path in list_images():
        with Image.open(out / "labels" / f"{path.stem}.png") as labels, Image.open(path) as image:
            assert labels.mode == "P"
            assert labels.size == image.size
            values = np.asarray(labels)
            palette = np.array(labels.getpalette(), np.uint8).reshape(-1, 3)
        with Image.open(expected / f"{path.stem}.png") as theirs:
            assert (values == np.asarray(theirs)).all()
        for value in np.unique(values):
            assert f"#{palette[value].tobytes().hex()}" == rows[value - 1]["color"]
        total += np.bincount(values.ravel(), minlength=256)
        with Image.open(out / "overlays" / f"{path.stem}.jpg") as overlay:
            assert overlay.width == 320
            assert np.asarray(overlay).std() > 10
    assert [int(row["pixels"]) for row in rows] == total[1:151].tolist()


def test_a_failure_leaves_nothing(run_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    source = ModelSource(run=run_folder, device="cpu")
    with pytest.raises(BenchError, match=r"broken\.jpg cannot be decoded"):
        predict_images(source, [*list_images(), broken], tmp_path / "out")
    assert list(tmp_path.iterdir()) == [broken]


def test_what_cannot_be_written_is_said_first(run_folder: Path, tmp_path: Path) -> None:
    source = ModelSource(run=run_folder, device="cpu")
    first = list_images()[0]
    with pytest.raises(UserError, match=r"would both become ADE_val_00000001\.png"):
        predict_images(source, [first, tmp_path / "ADE_val_00000001.png"], tmp_path / "out")
    with pytest.raises(UserError, match="there are no images"):
        predict_images(source, [], tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(UserError, match="is there already and not an empty folder"):
        predict_images(source, [first], tmp_path / "full")
    (tmp_path / "empty").mkdir()
    predict_images(source, [first], tmp_path / "empty")
    assert (tmp_path / "empty" / "classes.csv").is_file()
