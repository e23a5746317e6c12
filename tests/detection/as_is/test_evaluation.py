"""A finished detector has the very detections and numbers of its run."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.ops import box_iou

from detection.as_is.evaluation import find_class_fault, open_detector
from detection.as_is.settings import DetectionSettings
from detection.data.ground_truth import Category
from detection.tasks import COCO, MINI_COCO
from engine.evaluation.contract import AS_IS_VERSION
from engine.evaluation.model_source import ModelSource
from foundation.errors import CheckpointError, ConfigError, UserError
from litevit_bench import load_run
from tests.detection.finished_run import open_source
from tests.detection.make import write_small_coco

NOWHERE = Path("nowhere")


def test_a_run_evaluates_to_the_numbers_of_its_record(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backbones.cost.measure_cost.TIMED_SECONDS", 0.1)  # the time itself is not tested
    record = json.loads((run_folder / "record.json").read_text())
    opened = MINI_COCO.open_evaluation(open_source(run_folder), NOWHERE)
    assert opened.plan.protocol_version == AS_IS_VERSION
    assert opened.plan.config == {"recipe": {"classes": 7, "max_items": 6}}
    assert opened.data.splits == {"test": 6}
    outcome = opened.run(tmp_path)
    stated = record["result"]["metrics"]
    assert {name: metric.value for name, metric in outcome.metrics.items()} == {
        name: metric["value"] for name, metric in stated.items()
    }
    assert {"box_AP", "mask_AP"} <= stated.keys()
    # the detections and not only the numbers, which are near 0
    detections = (run_folder / "detections.json").read_bytes()
    assert len(json.loads(detections)) > 50
    assert (tmp_path / "detections.json").read_bytes() == detections
    assert (tmp_path / "matches.npy").read_bytes() == (run_folder / "matches.npy").read_bytes()
    with (run_folder / "items.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["" if value is None else str(value) for value in row] for row in outcome.item_rows]
    for entry in ("test_mode", "whole_model", "backbone_alone", "AP_by_class", "categories", "matches"):
        assert outcome.details[entry] == record["result"]["details"][entry], entry
    assert opened.backbone.init == "checkpoint"
    assert opened.backbone.arguments["test"] == {"min_score": 0.01, "nms_iou": 0.5, "per_image": 100}
    cost = opened.measure_cost()
    assert cost is not None
    assert (cost.img_size, cost.parameters) == ([96, 96], record["result"]["details"]["whole_model"]["parameters"])
    assert cost.latency is not None


def test_a_run_keeps_the_normalization_of_its_images(run_folder: Path, tmp_path: Path) -> None:
    """``--mean`` and ``--std`` of a run stand in its record, and not in today's card."""
    folder = shutil.copytree(run_folder, tmp_path / run_folder.name)
    content = json.loads((folder / "record.json").read_text())
    content["backbone"]["card"] |= {"mean": [0.25, 0.5, 0.75], "std": [0.125, 0.25, 0.5]}
    (folder / "record.json").write_text(json.dumps(content))
    model = open_detector(open_source(folder), DetectionSettings(), "cpu").model
    assert model.mean.tolist() == [0.25, 0.5, 0.75] and model.std.tolist() == [0.125, 0.25, 0.5]


def test_a_checkpoint_in_a_runs_folder_needs_no_run(run_folder: Path) -> None:
    (path,) = run_folder.glob("checkpoints/last_00000004.pth")
    by_file = open_detector(open_source(run_folder, run=None, checkpoint=path), DetectionSettings(), "cpu")
    by_run = open_detector(open_source(run_folder), DetectionSettings(), "cpu")
    assert by_file.record == by_run.record.model_copy(update={"checkpoint": by_file.record.checkpoint})
    assert by_file.record.checkpoint is not None
    assert by_run.record.checkpoint is not None
    assert by_file.record.checkpoint.sha256 == by_run.record.checkpoint.sha256
    assert [each.name for each in by_file.categories[:2]] == ["cat", "flower"]
    loaded = load_run(run_folder).load_model().state_dict()
    for name, tensor in by_file.model.state_dict().items():
        assert torch.equal(loaded[name], tensor), name


@pytest.mark.parametrize(
    ("setting", "most"), [("per_image=3", 6), ("min_score=0.99", 0), ("nms_iou=0.0", 150)], ids=str
)
def test_settings_change_detections_and_id(setting: str, most: int, run_folder: Path, tmp_path: Path) -> None:
    """The run kept 100 detections of each image; at nms_iou 0 no two boxes of a class overlap."""
    source = open_source(run_folder, overrides=("max_items=2", setting))
    opened = MINI_COCO.open_evaluation(source, NOWHERE)
    unchanged = MINI_COCO.open_evaluation(open_source(run_folder), NOWHERE)
    assert opened.backbone.arguments != unchanged.backbone.arguments
    opened.run(tmp_path)
    found = json.loads((tmp_path / "detections.json").read_text())
    assert len(found) <= most
    if setting == "nms_iou=0.0":
        assert len(found) > 6
        kept = [each for each in found if all(each[key] == found[0][key] for key in ("category_id", "image_id"))]
        corners = torch.tensor([each["bbox"] for each in kept]).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        assert box_iou(corners, corners).fill_diagonal_(0).max() < 1e-4  # boxes were scaled
    assert setting.partition("=")[0] in opened.backbone.arguments["test"]


def test_models_that_do_not_fit_are_refused(run_folder: Path, tmp_path: Path) -> None:
    write_small_coco(tmp_path, 2)
    with pytest.raises(UserError, match="the model has 7 classes and coco has 4; evaluate it on"):
        COCO.open_evaluation(ModelSource(run=run_folder, device="cpu"), tmp_path)
    with pytest.raises(ConfigError, match="min_score"):
        MINI_COCO.open_evaluation(open_source(run_folder, overrides=("min_score=2",)), NOWHERE)
    with pytest.raises(UserError, match=r"a detector is a run of bench .* bench score coco"):
        MINI_COCO.open_evaluation(ModelSource(backbone="vit_nano", device="cpu"), NOWHERE)
    detector = open_detector(open_source(run_folder), DetectionSettings(), "cpu")
    names = [Category(each.id, each.name.upper()) for each in detector.categories]
    assert find_class_fault(detector, names, "mine") is None
    fault = find_class_fault(detector, [*names[:-1], Category(99, "zebra")], "mine")
    assert fault is not None
    assert "that of mine is 'zebra' (1 of 7 names differ)" in fault
    assert find_class_fault(replace(detector, categories=()), names, "mine") is None


def test_records_and_weights_that_do_not_fit_are_refused(run_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    record = json.loads((copy / "record.json").read_text())

    def write(**changes: object) -> None:
        (copy / "record.json").write_text(json.dumps({**record, **changes}))

    write(domain="segmentation", task="ade20k")
    with pytest.raises(UserError, match=r"is a run of ade20k \(segmentation\), which has no detector"):
        MINI_COCO.open_evaluation(open_source(copy), NOWHERE)
    write()
    (path,) = copy.glob("checkpoints/last_00000004.pth")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match=path.name):
        MINI_COCO.open_evaluation(open_source(copy), NOWHERE)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"are not there \(last_00000004\.pth\)"):
        MINI_COCO.open_evaluation(open_source(copy), NOWHERE)
