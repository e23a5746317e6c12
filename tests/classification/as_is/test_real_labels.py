"""ReaL: an image is right if the predicted class is one of its labels; images without a label do not count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.data import RealLabelsImagenet

from classification.as_is.real_labels import read_real_labels
from engine.evaluation.model_source import ModelSource
from foundation.errors import BenchError, ConfigError, DataError
from tests.classification.as_is import make
from tests.classification.data.make import write_noise_image

NAMES = [f"{make.TENCH}/ILSVRC2012_val_{number:08d}.JPEG" for number in (293, 2138, 17700, 3)]


def write_labels(path: Path, labels: dict[int, list[int]]) -> Path:
    lists: list[list[int]] = [[] for _ in range(50_000)]
    for number, own in labels.items():
        lists[number - 1] = own
    path.write_text(json.dumps(lists))
    return path


def test_rows() -> None:
    real = read_real_labels("timm", NAMES, make.SYNSETS)
    assert list(real.items) == [item for item in range(4) if item in real.items] and len(real.sha256) == 64
    labels = real.labels[0]
    values = np.zeros((1, 1000), np.float32)
    values[0, [labels[0], 999]] = 0.3, 0.7
    (row,) = real.score_items(values, np.array([0]))
    assert (row.label, row.prediction, row.place) == (labels[0], 999, 1)
    values[0, labels[0]] = 0.8
    (row,) = real.score_items(values, np.array([0]))
    assert (row.label, row.prediction, row.place) == (labels[0], labels[0], 0)


def test_an_evaluation_agrees_with_timm(tmp_path: Path) -> None:
    root = tmp_path / "data"
    numbers = list(range(1, 13))
    for number in numbers:
        write_noise_image(
            root / "imagenet" / "val" / make.SYNSETS[number % 3] / f"ILSVRC2012_val_{number:08d}.png", number
        )
    file = make.save_model(tmp_path / "x.pth", make.make_model(1000))
    source = ModelSource(backbone="vit_pico", checkpoint=file)
    plain = make.open_folder(source, root, "imagenet")
    logits = make.compute_logits(plain)
    top = logits.topk(12).indices.tolist()
    by_file = {Path(plain.image_names(item)).stem: top[item] for item in range(12)}
    # the first six are right, two of the others among the first five, one has no label
    own = {n: [by_file[f"ILSVRC2012_val_{n:08d}"][0 if n <= 6 else 3 if n <= 8 else 9], 7] for n in numbers[:-1]}
    labels = write_labels(tmp_path / "real.json", own)
    evaluation = make.open_folder(
        ModelSource(backbone="vit_pico", checkpoint=file, overrides=(f"real_labels={labels}",)), root, "imagenet"
    )
    assert evaluation.plan.num_expected_items == 11
    recipe = evaluation.plan.config["recipe"]
    assert recipe["labels"] == "real" and len(recipe["labels_sha256"]) == 64
    metrics = evaluation.run(tmp_path).metrics
    theirs: Any = RealLabelsImagenet.__new__(RealLabelsImagenet)
    theirs.real_labels = {f"ILSVRC2012_val_{n:08d}.JPEG": own.get(n, []) for n in numbers}
    theirs.filenames = [f"{Path(plain.image_names(item)).stem}.JPEG" for item in range(12)]
    theirs.topk, theirs.is_correct, theirs.sample_idx = (1, 5), {1: [], 5: []}, 0
    theirs.add_result(torch.as_tensor(logits))
    assert {name: metric.value for name, metric in metrics.items()} == {
        "top1": pytest.approx(theirs.get_accuracy(1)), "top5": pytest.approx(theirs.get_accuracy(5)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[[1]]", "is not a list of 50,000 lists"), (json.dumps([[1000]] * 50_000), "50,000 lists")],
)
def test_other_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "real.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_real_labels(str(file), NAMES, make.SYNSETS)


def test_other_data_are_refused(tmp_path: Path) -> None:
    file = str(write_labels(tmp_path / "real.json", {1: [5]}))
    for names, classes, message in (
        (["photo.jpg"], make.SYNSETS, "photo.jpg is not named as an image of ImageNet's val"),
        (NAMES, make.SYNSETS, "none of the test images has a label"),
        (NAMES, make.SYNSETS[:10], "real_labels are for classifiers of all 1,000 classes"),
        (NAMES, make.SYNSETS, "none of the test images has a label"),
    ):
        with pytest.raises(BenchError, match=message):
            read_real_labels(file, names, classes)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_real_labels(str(tmp_path / "nowhere"), NAMES, make.SYNSETS)
    with pytest.raises(DataError):
        read_real_labels(file, ["ILSVRC2012_val_00050001.JPEG"], make.SYNSETS)
