"""Images without annotations: detections in COCO's format and pictures; all of it or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import coco

from benchmarks.evaluation.predict_images import predict_images
from detection.as_is.predict import read_upright_image
from detection.tasks import MINI_COCO
from foundation.errors import BenchError, UserError
from tests.detection.finished_run import open_source


def list_images() -> list[Path]:
    return [image.path for image in MINI_COCO.find_dataset(Path("nowhere")).splits["test"].images[:2]]


def test_detections_and_pictures(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    report = predict_images(open_source(run_folder, overrides=("min_score=0.01",)), list_images(), out)
    assert sorted(path.name for path in out.iterdir()) == ["detections.json", "images.json", "pictures"]
    assert list(out.parent.iterdir()) == [out]
    found = json.loads((out / "detections.json").read_text())
    assert report.data["detections"] == len(found) > 10
    assert report.text.startswith(f"{len(found)} objects found in 2 images (longer side 96 px")
    # the run detected in the first of them, too
    first = MINI_COCO.find_dataset(Path("nowhere")).splits["test"].images[0].id
    theirs = [each for each in json.loads((run_folder / "detections.json").read_text()) if each["image_id"] == first]
    assert [{**each, "image_id": first} for each in found if each["image_id"] == 1] == theirs
    # COCO's own code reads the two files together
    truth = coco.COCO()
    truth.dataset = {**json.loads((out / "images.json").read_text()), "annotations": []}
    truth.createIndex()
    loaded = truth.loadRes(found)
    mask = loaded.annToMask(loaded.loadAnns(loaded.getAnnIds(imgIds=[1]))[0])
    with Image.open(list_images()[0]) as image:
        plain, size = np.asarray(image.convert("RGB"), np.int64), image.size
    assert mask.shape == (size[1], size[0])
    with Image.open(out / "pictures" / f"{list_images()[0].stem}.jpg") as picture:
        assert picture.width == size[0] == 320
        assert picture.height > size[1]  # the legend
        drawn = np.asarray(picture.convert("RGB"), np.int64)[: size[1]]
    # boxes are drawn over a part of it
    changed = (np.abs(drawn - plain).max(2) > 60).mean()
    assert 0.002 < changed < 0.99


def test_only_sure_objects_are_drawn_by_default(run_folder: Path, tmp_path: Path) -> None:
    report = predict_images(open_source(run_folder, overrides=()), list_images()[:1], tmp_path / "out")
    assert report.data["drawn_from"] == 0.5
    assert report.data["detections"] > 0
    with Image.open(tmp_path / "out" / "pictures" / f"{list_images()[0].stem}.jpg") as picture:
        assert picture.size == (320, 256)


def test_images_are_turned_upright(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3))
    exif = Image.Exif()
    exif[274] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    # tag 6: the first row of the file is the right column of the picture
    assert (np.asarray(read_upright_image(tmp_path / "turned.png")) == np.rot90(np.asarray(image), -1)).all()


def test_what_cannot_be_done_leaves_nothing(run_folder: Path, tmp_path: Path) -> None:
    source, first = open_source(run_folder, overrides=()), list_images()[0]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    with pytest.raises(BenchError, match=r"broken\.jpg"):
        predict_images(source, [first, broken], tmp_path / "out")
    assert list(tmp_path.iterdir()) == [broken]
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match=rf"would both become {first.stem}\.jpg"):
        (tmp_path / "b" / first.name).write_bytes(first.read_bytes())
        predict_images(source, [first, tmp_path / "b" / first.name], tmp_path / "out")
    with pytest.raises(UserError, match="is there already and not an empty folder"):
        predict_images(source, [first], tmp_path / "b")
    with pytest.raises(UserError, match="max_items limits the images of a data set"):
        predict_images(open_source(run_folder), [first], tmp_path / "out")
