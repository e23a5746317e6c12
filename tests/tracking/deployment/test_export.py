"""Exports: written whole or not at all, of the run they say, calibrated on training data, checked when loaded."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli.main import main
from deployment.int8 import find_float_nodes
from deployment.manifest import MANIFEST_FILENAME
from deployment.onnx_export import export_onnx
from deployment.packages import import_package
from engine.data import photographs
from foundation.errors import BenchError, UserError
from tests.deployment.make import skip_without_runtime
from tests.tracking.deployment.make import (
    ORIGIN,
    SIZES,
    VARIANTS,
    make_variant,
    write_earlier_export,
)
from tests.tracking.make import make_tracker_model
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.deployment import calibration, export
from tracking.deployment.export import ensure_export, export_model, export_run
from tracking.deployment.graphs import build_export_graphs
from tracking.deployment.load import find_exported_tracker, load_exported_network, require_tracker_runtime
from tracking.deployment.manifest import TrackerParity, read_tracker_export
from tracking.deployment.parity import load_parity_videos, require_parity
from tracking.evaluate_run import evaluate_run, load_tracker
from tracking.inference.run_files import load_torch_factory
from tracking.protocols import CONFIGS
from tracking.recipe import TrackingRecipe

SAME = TrackerParity(
    sequences=1, frames=9, box_px=1e-4, same_crop_box_px=1e-4, same_crop_iou=1.0, score=1e-6, size=1e-6, offset=1e-6
)
TINY = (
    *("mini_lasot", "--backbone", "vit_pico", "--protocol", "fast64", "--tier", "smoke", "--device", "cpu"),
    *("--set", "epochs=1", "schedule.warmup=0", "pairs=48", "val_pairs=8", "batch_size=16", "head_channels=16"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run tracked by OpenVINO, with its export."""
    skip_without_runtime("openvino")
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        assert main(["run", *TINY, "asymmetric_attention=true", "--runtime", "openvino", "--out", str(out)]) == 0
    (record,) = out.rglob("record.json")
    yield record.parent


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An ONNX export of a network that was never trained."""
    skip_without_runtime("onnx")
    return export_model(make_variant("asymmetric attention"), SIZES, ORIGIN, "onnx", "f32", tmp_path).folder


@pytest.mark.soak
def test_a_run_may_be_tracked_by_another_runtime(run: Path, tmp_path: Path) -> None:
    """The runtime is in its configuration; its tracker gives the same boxes elsewhere, and PyTorch's to 0.05 px."""
    record = json.loads((run / "record.json").read_text())
    assert record["config"]["recipe"]["runtime"] == "openvino"
    assert record["config"]["recipe"]["runtime_precision"] == "f32"
    assert "openvino" in record["environment"]["packages"]
    name = "turn-4"
    (score,) = evaluate_run(run, ensure_mini_lasot() / "turn" / name, tmp_path / "mine")
    lines = (run / "items.csv").read_text().splitlines()
    assert lines[-1].split(",")[-1] == score.boxes
    tracker = load_tracker(run, runtime="torch")
    assert (tracker.network.runtime, load_tracker(run).network.runtime) == ("torch", "openvino")
    boxes = np.loadtxt(run / "tracked" / f"{name}.txt", delimiter=",")
    from tracking.data.readers.lasot import read_test_videos

    (video,) = (each for each in read_test_videos(ensure_mini_lasot()) if each.name == name)
    tracker.init(video.read_frame(0), video.boxes[0])
    ours = [tracker.update(video.read_frame(number)) for number in range(1, 12)]
    assert np.abs(np.array(ours) - boxes[1:12]).max() <= 0.05


def test_the_default_runtime_changes_no_runs_identity() -> None:
    from engine.config import load_protocol

    recipes = [
        load_protocol(CONFIGS / "fast64.py", TrackingRecipe, "full", changes).recipe.identity_settings()
        for changes in ((), ("runtime=onnxruntime",), ("runtime=openvino", "runtime_precision=int8"))
    ]
    assert not {"runtime", "runtime_precision"} & set(recipes[0])
    assert [recipe["runtime"] for recipe in recipes[1:]] == ["onnxruntime", "openvino"]
    assert [recipe["runtime_precision"] for recipe in recipes[1:]] == ["f32", "int8"]


def test_the_command_writes_an_export_and_says_how_far_it_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--format", "onnx", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    folder = run / "export" / "onnx-f32"
    assert Path(said["folder"]) == folder
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST_FILENAME, "recall.onnx", "remember.onnx"]
    manifest = said["manifest"]
    assert (manifest["runtime"], manifest["precision"], manifest["grid"]) == ("onnxruntime", "f32", 8)
    assert manifest["parity"]["frames"] == 54 and manifest["parity"]["box_px"] <= 0.05
    assert manifest["origin"]["licence"] == "of the start weights: none, the run started at random"
    assert manifest["origin"]["run_id"] == json.loads((run / "record.json").read_text())["run_id"]
    trackers = [load_tracker(run), load_tracker(run, runtime="onnxruntime", threads=1)]
    assert [tracker.network.runtime for tracker in trackers] == ["openvino", "onnxruntime"]


def test_int8_keeps_the_tracker_and_is_calibrated_on_training_photographs(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the training photographs is opened while ranges are found."""
    asked: list[dict[str, Any]] = []
    load, inside = photographs.load_photos, calibration.quantize_graphs
    names_of_test = set(photographs.TEST_PHOTOS)

    def noting(names: dict[str, Any]) -> Any:
        asked.append(names)
        return load(names)

    def quantized(*arguments: Any) -> Any:
        monkeypatch.setattr(photographs, "load_photos", noting)
        monkeypatch.setattr("tracking.data.readers.sequence.read_image", None)  # no sequence either
        try:
            return inside(*arguments)
        finally:
            monkeypatch.undo()

    monkeypatch.setattr(calibration, "quantize_graphs", quantized)
    manifest = export_run(run, "onnx", "int8").manifest
    assert asked == [photographs.TRAIN_PHOTOS] and not names_of_test & set(asked[0])
    assert manifest.calibration is not None
    assert manifest.calibration.fingerprint == photographs.fingerprint_photos(photographs.TRAIN_PHOTOS)
    assert manifest.parity.same_crop_iou > 0.5 and manifest.parity.score > 1e-4
    sizes = [
        sum(len(content) for content in read_tracker_export(run / "export" / name)[1].values()) for name in _EXPORTS
    ]
    assert sizes[1] < 0.65 * sizes[0]  # of a network this small much is the graph itself


_EXPORTS = ("onnx-f32", "onnx-int8")


def test_int8_is_for_linear_layers_and_the_heads_convolutions() -> None:
    skip_without_runtime("onnx")
    onnx = import_package("onnx")
    graphs = build_export_graphs(make_variant("plain"), "int8")
    f32 = onnx.load_model_from_string(export_onnx(graphs["recall"])).graph
    kept = set(find_float_nodes(f32, calibration.TRACKER_FLOAT_RULES))
    taken = [node for node in f32.node if node.op_type in ("MatMul", "Conv") and node.name not in kept]
    blocks, towers = len(make_variant("plain").backbone.vit.blocks), 3
    assert len([node for node in taken if node.op_type == "MatMul"]) == 4 * blocks
    assert len([node for node in taken if node.op_type == "Conv"]) == 4 * towers
    embeddings = 1  # that of the template is in the other graph
    assert len(kept) == 2 * blocks + embeddings + towers


def test_changed_files_are_refused(exported: Path) -> None:
    model, path = exported / "recall.onnx", exported / MANIFEST_FILENAME
    content, text = model.read_bytes(), path.read_text()
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"recall\.onnx is not the file that was exported"):
        load_exported_network(exported, "onnxruntime")
    model.unlink()
    with pytest.raises(UserError, match=r"recall\.onnx cannot be read"):
        load_exported_network(exported, "onnxruntime")
    model.write_bytes(content)
    for before, after, said in (
        ('"recall.onnx"', '"../recall.onnx"', "the files are not those of remember and recall in the format onnx"),
        ('"best cell"', '"best"', "outputs"),
        ('"runtime": "onnxruntime"', '"runtime": "openvino"', "the format onnx is not that of the runtime openvino"),
        ('"grid"', '"gird"', "gird: unknown field"),
        ('"schema_version": 2', '"schema_version": 3', "schema_version"),
        ("{", "", "is not a valid manifest"),
    ):
        path.write_text(text.replace(before, after, 1))
        with pytest.raises(UserError, match=said):
            load_exported_network(exported, "onnxruntime")
    path.write_text(text)
    assert load_exported_network(exported, "onnxruntime").runtime == "onnxruntime"


def test_an_export_of_the_first_schema_version_is_read_on(exported: Path) -> None:
    """Its manifest says the same under other names."""
    path = exported / MANIFEST_FILENAME
    content = json.loads(path.read_text())
    calibration = {"source": "s", "fingerprint": "f", "samples": 1, "seed": 0, "method": "m", "float_parts": "head"}
    path.write_text(json.dumps({**content, "calibration": calibration}))
    now, _ = read_tracker_export(exported)
    for before, after in (
        ('"schema_version": 2', '"schema_version": 1'),
        ('"asymmetric_attention"', '"own_template"'),
        ('"use_ce"', '"elimination"'),
        ('"float_parts"', '"kept"'),
        ('"samples"', '"pairs"'),
    ):
        assert path.read_text().count(before) == 1
        path.write_text(path.read_text().replace(before, after))
    assert read_tracker_export(exported)[0] == now
    assert load_exported_network(exported, "onnxruntime").runtime == "onnxruntime"


def test_an_export_of_all_maps_is_tracked_as_before(tmp_path: Path) -> None:
    """One graph without a best cell, as earlier versions wrote it, gives the boxes of an export of today."""
    skip_without_runtime("onnx")
    today = export_model(make_variant("plain"), SIZES, ORIGIN, "onnx", "f32", tmp_path).folder
    earlier = write_earlier_export(tmp_path / "earlier", today)
    boxes = []
    for folder in (today, earlier):
        tracker = find_exported_tracker(folder, "onnxruntime", threads=1)()
        video = load_parity_videos()[0]
        tracker.init(video.read_frame(0), video.boxes[0])
        boxes.append([tracker.update(video.read_frame(number)) for number in range(1, 5)])
    assert np.abs(np.array(boxes[0]) - np.array(boxes[1])).max() <= 1e-3
    assert {path.name for path in today.iterdir()} == {MANIFEST_FILENAME, "recall.onnx", "remember.onnx"}


def test_what_was_not_exported_so_is_refused_with_the_command(exported: Path, run: Path) -> None:
    with pytest.raises(UserError, match="is an export for onnxruntime in f32, not for openvino in f32"):
        load_exported_network(exported, "openvino")
    with pytest.raises(UserError, match="is an export for onnxruntime in f32, not for onnxruntime in int8"):
        load_exported_network(exported, "onnxruntime", "int8")
    with pytest.raises(UserError, match=r"export it first: bench export .* --format openvino --precision int8"):
        load_tracker(run, runtime="openvino", precision="int8")
    with pytest.raises(UserError, match="torch tracks in f32 only, not int8"):
        load_tracker(run, runtime="torch", precision="int8")
    with pytest.raises(UserError, match="for torch name the run instead"):
        load_exported_network(exported, "torch")
    with pytest.raises(UserError, match="ONNX Runtime has no bf16"):
        require_tracker_runtime("onnxruntime", "bf16")


def test_a_run_goes_on_with_its_export_unless_that_is_damaged(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that was killed while it tracked finds its export; one that does not hold is made again."""
    other = tmp_path / "run"
    shutil.copytree(run, other)
    model, folder = load_torch_factory(other).load_model(), other / "export" / "openvino-f32"
    before = (folder / MANIFEST_FILENAME).read_bytes()
    assert ensure_export(other, model, SIZES, "openvino", "f32") == folder
    assert (folder / MANIFEST_FILENAME).read_bytes() == before
    (folder / "recall.bin").write_bytes(b"damaged")
    assert ensure_export(other, model, SIZES, "openvino", "f32") == folder
    assert (folder / MANIFEST_FILENAME).read_bytes() != before and len((folder / "recall.bin").read_bytes()) > 100
    assert "recall.bin is not the file that was exported" in capsys.readouterr().err


def test_an_export_of_other_weights_is_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other)
    (weights,) = (other / "checkpoints").glob("last_*.pth")
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(UserError, match="has other weights than the run's last ones"):
        load_exported_network(other, "openvino")


def test_a_tracker_can_be_made_in_another_process(exported: Path) -> None:
    """By pickle, as worker processes get it; an export made anew in the meantime is not taken for it."""
    maker = find_exported_tracker(exported, "onnxruntime", threads=1)
    again = pickle.loads(pickle.dumps(maker))
    tracker = again()
    tracker.init(np.zeros((90, 120, 3), np.uint8), (30, 30, 20, 20))
    assert tracker.update(np.zeros((90, 120, 3), np.uint8)).shape == (4,)
    said = again.describe_provenance()
    assert (said["runtime"], said["precision"], said["device"]) == ("onnxruntime", "f32", "cpu")
    assert json.loads(json.dumps(said)) == said
    export_model(make_variant("asymmetric attention"), SIZES, ORIGIN, "onnx", "f32", exported.parent)
    with pytest.raises(UserError, match="was exported again"):
        again()


@pytest.mark.parametrize(
    ("precision", "change", "said"),
    [
        ("f32", {"box_px": 0.06}, "boxes differ by up to 0.06 px"),
        ("f32", {"score": 0.003}, "differs from PyTorch's network"),
        ("f32", {"size": 0.003}, "differs from PyTorch's network"),
        ("f32", {"offset": 0.02}, "differs from PyTorch's network"),
        ("bf16", {"same_crop_iou": 0.4}, "no longer tracks"),
        ("int8", {"same_crop_iou": 0.4}, "no longer tracks"),
        ("int8", {"score": float("nan")}, "not finite"),
    ],
)
def test_too_far_from_pytorch_is_refused(precision: Any, change: dict[str, float], said: str) -> None:
    require_parity(SAME, precision, "the export")
    with pytest.raises(BenchError, match=said):
        require_parity(SAME.model_copy(update=change), precision, "the export")


def test_a_refused_export_leaves_what_was_there(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs of other weights are exported under the model's name: the parity check sees it."""
    other = make_tracker_model(template=32, search=64, head_channels=16, **VARIANTS["asymmetric attention"])
    for parameter in other.head.parameters():
        parameter.data += 0.01
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    ours = export.build_export_graphs
    monkeypatch.setattr(export, "build_export_graphs", lambda model, precision: ours(other, precision))
    for out in (exported.parent, exported.parent / "new"):
        with pytest.raises(BenchError, match="differs from PyTorch's network"):
            export_model(make_variant("asymmetric attention"), SIZES, ORIGIN, "onnx", "f32", out)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    assert not list((exported.parent / "new").iterdir())
    assert sorted(path.name for path in exported.parent.iterdir()) == ["new", "onnx-f32"]


def test_only_tracking_runs_are_exported_or_choose_a_runtime(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "run"
    other.mkdir()
    text = (run / "record.json").read_text()
    (other / "record.json").write_text(text.replace('"domain": "tracking"', '"domain": "segmentation"'))
    with pytest.raises(UserError, match="this exports trackers"):
        export_run(other, "onnx", "f32")
    for words, said in (
        (["--size", "dynamic"], "--size and --argmax are for segmentation"),
        (["--data-root", str(tmp_path)], "--data-root is not for trackers"),
    ):
        assert main(["export", str(run), "--format", "onnx", *words]) == 2
        assert said in capsys.readouterr().err
    assert main(["run", "digits", "--backbone", "vit_nano", "--runtime", "openvino"]) == 2
    assert "--runtime is for tracking tasks, and digits is not one" in capsys.readouterr().err
    words = ["run", *TINY, "runtime_precision=bf16", "--runtime", "onnxruntime", "--out", str(tmp_path / "none")]
    assert main(words) == 2, "before anything is trained"
    assert "ONNX Runtime has no bf16" in capsys.readouterr().err and not (tmp_path / "none").exists()
