"""An exported detector finds what PyTorch's finds, and one that does not is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.evaluation.export_run import ExportRequest, export_run
from deployment.graph_io import GraphCallable, NamedArrays
from deployment.runtimes import load_runtime_graphs, make_export_files
from detection.as_is.evaluation import open_detector
from detection.as_is.settings import DetectionSettings
from detection.data.samples import ImageDetections
from detection.deployment.export import load_exported_detector
from detection.deployment.graphs import attach_graphs, prepare_detector, write_detector_graphs
from detection.deployment.manifest import DetectorParity
from detection.deployment.parity import (
    count_shared,
    load_parity_images,
    measure_detector_parity,
    require_detector_parity,
)
from detection.models.detector import Detector
from detection.tasks import MINI_COCO
from foundation.errors import BenchError, UserError
from results.records.store import read_record
from tests.detection.finished_run import open_source
from tests.detection.models.tiny_detector import TINY_MODEL, make_detector, make_recipe

NOWHERE = Path("nowhere")


@pytest.fixture(scope="module")
def tiny() -> tuple[Detector, Mapping[str, GraphCallable]]:
    """A detector without masks, and its graphs in ONNX Runtime."""
    # windows of 3 on a grid of 8 cells: a part of each block's input is filled up
    settings = {**TINY_MODEL, "global_blocks": [0]}
    recipe = make_recipe(model=settings, test={"min_score": 0.1})
    model = prepare_detector(make_detector(recipe, has_masks=False))
    files = make_export_files(write_detector_graphs(model, "tiny"), "onnx")
    return model, load_runtime_graphs(files, "onnxruntime", "f32", 1)


def test_an_evaluation_in_a_runtime_finds_the_same(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backbones.cost.measure_cost.TIMED_SECONDS", 0.1)
    source = open_source(run_folder, runtime="onnxruntime", overrides=("max_items=2",))
    opened = MINI_COCO.open_evaluation(source, NOWHERE)
    assert (opened.backbone.arguments["runtime"], opened.backbone.arguments["precision"]) == ("onnxruntime", "f32")
    outcome = opened.run(tmp_path / "exported")
    (tmp_path / "torch").mkdir()
    MINI_COCO.open_evaluation(open_source(run_folder, overrides=("max_items=2",)), NOWHERE).run(tmp_path / "torch")
    theirs, ours = (json.loads((tmp_path / each / "detections.json").read_text()) for each in ("exported", "torch"))
    assert len(ours) == len(theirs) > 20

    # scores may be equal but for rounding, so the order is not compared
    def sort(found: list[dict[str, float]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        rows = [(each["image_id"], each["category_id"], *map(float, each["bbox"]), each["score"]) for each in found]
        return np.array(sorted(rows, key=lambda row: (row[0], row[1], round(row[2]), round(row[3]), round(row[4]))))

    assert np.abs(sort(ours) - sort(theirs)).max() < 0.02
    assert outcome.details["exports"]["parity"]["agreement"] >= 0.95
    assert outcome.details["artifact_bytes"] > 10_000
    cost = opened.measure_cost()
    assert cost is not None
    assert cost.runtime is not None
    assert cost.runtime.startswith("onnxruntime")


def test_an_exported_run_is_loaded_again(run_folder: Path, tmp_path: Path) -> None:
    record = read_record(run_folder)
    exported = export_run(run_folder, record, ExportRequest("openvino", out=tmp_path))
    files = {path.name for path in exported.path.iterdir()}
    graphs = ("pyramid", "proposals", "box_head", "mask_head")
    assert files == {"manifest.json", *(f"{graph}{suffix}" for graph in graphs for suffix in (".xml", ".bin"))}
    manifest = exported.manifest
    assert manifest is not None
    assert manifest.model_dump()["class_names"][:2] == ["cat", "flower"]
    assert manifest.model_dump()["size"] == 96
    detector = open_detector(open_source(run_folder), DetectionSettings(), "cpu")
    network = load_exported_detector(detector, exported.path)
    image = load_parity_images(96)[0]
    found, expected = network.detect_objects([image])[0], detector.detect(image)
    assert found.masks is not None
    assert len(expected.scores) > 5
    assert count_shared(expected, found) >= 0.95 * len(expected.scores)
    (exported.path / "box_head.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"box_head\.bin is not the file that was exported"):
        load_exported_detector(detector, exported.path)


def test_what_cannot_be_exported_is_said(run_folder: Path, tmp_path: Path) -> None:
    record = read_record(run_folder)
    for request, text in (
        (ExportRequest("onnx", precision="int8"), "detectors are not exported in int8"),
        (ExportRequest("onnx", size=(64, 64)), "--size and --argmax are for segmentation"),
        (ExportRequest("onnx", data_root=tmp_path), "--data-root is not for detectors"),
        (ExportRequest("ostrack"), "--format ostrack writes trackers"),
    ):
        with pytest.raises(UserError, match=text):
            export_run(run_folder, record, request)
    assert not (run_folder / "export").exists()


def test_detectors_without_masks_and_images_without_regions(
    tiny: tuple[Detector, Mapping[str, GraphCallable]],
) -> None:
    model, graphs = tiny
    assert set(graphs) == {"pyramid", "proposals", "box_head"}
    twin = attach_graphs(model, graphs)
    parity = measure_detector_parity(model, twin, graphs, load_parity_images(64)[:1])
    assert max(parity.difference.values()) < 1e-5
    assert parity.agreement >= 0.95
    assert parity.detections > 0
    logits, deltas = twin.box_head(torch.zeros(0, 8, 7, 7))
    assert (tuple(logits.shape), tuple(deltas.shape)) == ((0, 4), (0, 3, 4))
    # the model itself was not changed
    assert model.box_head is not twin.box_head
    assert isinstance(model.proposal_network.head, torch.nn.Module)
    assert model.proposal_network.head is not twin.proposal_network.head


def test_a_graph_that_computes_something_else_is_refused(
    tiny: tuple[Detector, Mapping[str, GraphCallable]],
) -> None:
    model, graphs = tiny

    def shift(feeds: NamedArrays) -> NamedArrays:
        return {name: values + 0.5 for name, values in graphs["box_head"](feeds).items()}

    changed = {**graphs, "box_head": shift}
    parity = measure_detector_parity(model, attach_graphs(model, changed), changed, load_parity_images(64)[:1])
    with pytest.raises(BenchError, match=r"differs from PyTorch's model: box_head by .*; nothing was written"):
        require_detector_parity(parity, "f32", "the export")
    broken = {
        **graphs,
        "box_head": lambda feeds: {name: each * np.nan for name, each in graphs["box_head"](feeds).items()},
    }
    with pytest.raises(BenchError, match="the graph box_head gives numbers that are not finite"):
        measure_detector_parity(model, attach_graphs(model, broken), broken, load_parity_images(64)[:1])


@pytest.mark.parametrize(("precision", "agreement", "is_refused"), [("f32", 0.9, True), ("bf16", 0.9, False)])
def test_lost_detections_are_refused(precision: str, agreement: float, is_refused: bool) -> None:
    parity = DetectorParity(images=1, source="", difference={}, detections=9, agreement=agreement)
    if not is_refused:
        require_detector_parity(parity, precision, "it")  # type: ignore[arg-type]
        return
    with pytest.raises(BenchError, match=r"only 90.0 % of the detections are equal"):
        require_detector_parity(parity, precision, "it")  # type: ignore[arg-type]


def test_shared_detections_have_class_place_and_score() -> None:
    def make(boxes: list[list[float]], scores: list[float], labels: list[int]) -> ImageDetections:
        return ImageDetections(0, torch.tensor(boxes), torch.tensor(scores), torch.tensor(labels), None)

    square = [0.0, 0.0, 10.0, 10.0]
    ours = make([square, square], [0.5, 0.5], [0, 1])
    assert count_shared(ours, make([square], [0.505], [1])) == 1
    assert count_shared(ours, make([square], [0.52], [1])) == 0
    # an IoU of 8 / 10
    assert count_shared(ours, make([[0.0, 0.0, 8.0, 10.0]], [0.5], [1])) == 0
    assert count_shared(ours, make([square], [0.5], [2])) == 0
