"""Finished trackers in other runtimes: exported on the way, tracked and timed as the same artefact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.model_source import ModelSource
from foundation.errors import UserError
from tests.deployment.make import skip_without_runtime
from tests.tracking.as_is.make import make_run
from tests.tracking.as_is.test_evaluation import make_folder, open_task
from tests.tracking.ostrack_file import PLAIN_NAME, list_ostrack_tensors, save_ostrack_file
from tracking.deployment.parity import load_parity_videos
from tracking.inference.run_files import load_torch_factory


@pytest.fixture(autouse=True)
def _short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """How parity and times are measured, other tests show."""
    monkeypatch.setattr("backbones.cost.measure_cost.TIMED_SECONDS", 0.01)
    videos = [video.keep_first(3) for video in load_parity_videos()[:1]]
    monkeypatch.setattr("tracking.deployment.export.load_parity_videos", lambda: videos)


def test_a_run_and_an_ostrack_file_in_onnx_runtime(tmp_path: Path) -> None:
    """The export is in the folder of the evaluation; the folder of a run is only read."""
    skip_without_runtime("onnx")
    run, root = make_run(tmp_path / "trained", backbone="vit_pico"), make_folder(tmp_path / "data")
    tensors = list_ostrack_tensors(load_torch_factory(run).load_model())
    sizes = {"output_sz": {"template": 32, "search": 64}, "search_area_factor": {"template": 2.0, "search": 2.0}}
    path = save_ostrack_file(tmp_path / "a.pth.tar", tensors, config_name=PLAIN_NAME, **sizes)
    open_task("trackfolder", ModelSource(run=run), root).run(tmp_path / "torch")
    before = sorted(run.rglob("*"))
    sources = {
        "run": ModelSource(run=run, runtime="onnxruntime"),
        "file": ModelSource(backbone="vit_pico", checkpoint=path, runtime="onnxruntime"),
    }
    for name, source in sources.items():
        opened = open_task("trackfolder", source, root)
        assert (opened.backbone.arguments["runtime"], opened.backbone.arguments["precision"]) == ("onnxruntime", "f32")
        outcome = opened.run(tmp_path / name)
        assert outcome.details["speed"]["runtime"] == "onnxruntime"
        manifest = json.loads((tmp_path / name / "export" / "onnx-f32" / "manifest.json").read_text())
        assert outcome.details["export"]["files"] == manifest["files"]
        sizes_of_files = [(tmp_path / name / "export" / "onnx-f32" / file).stat().st_size for file in manifest["files"]]
        assert outcome.details["artifact_bytes"] == sum(sizes_of_files) > 0
        cost = opened.measure_cost()
        assert cost is not None and cost.runtime is not None and cost.runtime.startswith("onnxruntime 1.")
        boxes = [np.loadtxt(tmp_path / each / "tracked" / "seq0.txt", delimiter=",") for each in ("torch", name)]
        assert np.abs(boxes[0] - boxes[1]).max() < 0.05
    assert sorted(run.rglob("*")) == before
    made = tmp_path / "file" / "export" / "onnx-f32" / "manifest.json"
    written = made.stat().st_mtime_ns
    open_task("trackfolder", sources["file"], root).run(tmp_path / "file")
    assert made.stat().st_mtime_ns == written, "an interrupted evaluation goes on with the export that it made"


def test_a_gpu_is_not_asked_of_an_exported_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_runtime("onnx")
    run, root = make_run(tmp_path / "run", backbone="vit_pico"), make_folder(tmp_path / "data")
    monkeypatch.setattr("engine.evaluation.network_device.resolve_device", lambda name: "mps")
    from benchmarks.task_registry import TASKS

    task = TASKS.get("trackfolder")
    assert task.open_evaluation(ModelSource(run=run, runtime="onnxruntime"), root).device == "cpu"
    with pytest.raises(UserError, match="an exported model computes on the CPU; leave out --device mps"):
        task.open_evaluation(ModelSource(run=run, runtime="onnxruntime", device="mps"), root)
    assert task.open_evaluation(ModelSource(run=run), root).device == "mps"
