"""``bench track`` takes the fastest exact runtime where that pays, says so, and never a lower precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deployment import runtimes
from foundation.errors import BenchError, UserError
from tests.deployment.make import skip_without_runtime
from tests.tracking.as_is.make import make_run
from tests.tracking.video.test_frame_source import write_folder
from tracking import track_command
from tracking.deployment import graph_network
from tracking.deployment.export import export_run
from tracking.track_command import TrackReport, run_track_command
from tracking.video import fastest_runtime
from tracking.video.fastest_runtime import choose_runtime
from tracking.video.request import TrackVideoRequest

Text = pytest.CaptureFixture[str]
LINE = "tracking with openvino in f32, the fastest that gives PyTorch's boxes; --runtime torch for PyTorch"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was tracked with torch, beside a folder of 12 frames."""
    skip_without_runtime("openvino")
    monkeypatch.chdir(tmp_path)
    write_folder(Path("walk"))
    return make_run(tmp_path / "run", backbone="vit_pico")


def follow(run: Path, out: str, **settings: object) -> tuple[TrackReport, np.ndarray]:
    request = TrackVideoRequest(
        "walk", ((20, 15, 16, 12),), run_dir=run, device="cpu", write_video=False, out_dir=Path(out), **settings
    )  # type: ignore[arg-type]
    return run_track_command(request), np.loadtxt(f"{out}/boxes.txt", delimiter=",")


def test_a_long_video_is_tracked_by_the_fastest_runtime(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Text
) -> None:
    """With PyTorch's boxes; what was exported for it is described and not kept."""
    report, boxes = follow(run, "short")
    assert report.data["runtime"] == "torch" and LINE not in capsys.readouterr().err
    monkeypatch.setattr(fastest_runtime, "FRAMES_PER_EXPORT", 12)
    report, same = follow(run, "long")
    assert (report.data["runtime"], report.data["precision"]) == ("openvino", "fp32")
    assert LINE in capsys.readouterr().err and report.data["export"]["parity"]["box_px"] < 0.05
    # the files have three decimals
    assert np.abs(boxes - same).max() <= 0.0015 and not (run / "export").exists()
    report, _ = follow(run, "asked", runtime="torch")
    assert report.data["runtime"] == "torch" and LINE not in capsys.readouterr().err


def refuse_threads(*arguments: object) -> None:
    raise UserError("it uses 2 threads")


def test_an_export_that_is_there_is_used_for_any_video(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Text
) -> None:
    export_run(run, "openvino", "f32")
    report, _ = follow(run, "exported")
    assert report.data["runtime"] == "openvino" and LINE in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(graph_network, "load_runtime_graphs", refuse_threads)
        report, _ = follow(run, "threads")
    assert report.data["runtime"] == "torch" and "tracking with torch: it uses 2 threads" in capsys.readouterr().err
    (run / "export" / "openvino-f32" / "recall.bin").write_bytes(b"damaged")
    report, _ = follow(run, "damaged")
    assert report.data["runtime"] == "torch"


@pytest.mark.parametrize("kind", [BenchError, RuntimeError])
def test_what_cannot_be_exported_is_tracked_with_torch(
    kind: type[Exception], run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Text
) -> None:
    def refuse(*arguments: object) -> None:
        raise kind("no form of it in ONNX")

    monkeypatch.setattr(fastest_runtime, "FRAMES_PER_EXPORT", 12)
    monkeypatch.setattr(track_command, "export_model", refuse)
    report, boxes = follow(run, "torch")
    assert report.data["runtime"] == "torch" and len(boxes) == 12
    assert "tracking with torch: no form of it in ONNX" in capsys.readouterr().err


def test_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO before ONNX Runtime before PyTorch, as far as they are installed; a GPU is left to PyTorch."""
    installed: set[str] = set()

    def require(runtime: str, precision: str) -> None:
        assert precision == "f32"
        if runtime not in installed:
            raise UserError("not installed")

    monkeypatch.setattr(runtimes, "require_runtime", require)
    for added, expected in ((None, "torch"), ("onnxruntime", "onnxruntime"), ("openvino", "openvino")):
        installed |= {added} if added else set()
        assert choose_runtime("cpu", None) == choose_runtime("cpu", 600) == expected
        assert choose_runtime("cpu", 599) == choose_runtime("cuda", None) == "torch"
