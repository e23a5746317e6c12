"""Exported trackers against PyTorch, and end to end; ``python -m tests.perf.deploy [RUN]`` says more than make perf.

The alternative of every line is what OSTrack's own code computes: attention written out, all maps, the template
embedded in every frame. (That code itself, with the same sizes, took 1 % longer on one thread: 64.1 ms against 63.6.)
Without ``RUN``, a finished run, networks are initialised at random: speed does not depend on weights, boxes in bf16 and
int8 do.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import cv2
import numpy as np
import torch
from torch import Tensor

from backbones.create import create_backbone
from benchmarks.cli.output import align_columns, write_stdout
from deployment import openvino
from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat
from engine.evaluation.model_source import Precision
from foundation.environment import SHARED_DATA_VAR
from tests.conftest import ROOT
from tests.perf.line import SpeedRatio
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair import CropSizes
from tracking.data.readers.folder import read_folder_videos
from tracking.data.readers.lasot import read_test_videos
from tracking.data.readers.sequence import Video
from tracking.deployment.export import build_runtime_network
from tracking.inference.backend import NumpyHeadMaps, TorchNetwork, TrackerNetwork, split_head_maps
from tracking.inference.tracker import Tracker
from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.tracker_model import TrackerModel
from tracking.scoring.metrics import compute_iou

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FULL_CROPS, FAST_CROPS = CropSizes(128, 256, 2.0, 4.0), CropSizes(64, 128, 2.0, 4.0, "exact")
BLOCKS, ROUNDS, FRAMES, WARM_UP = 4, 15, 90, 5


class ExplicitSoftmaxNetwork(TorchNetwork):
    """What OSTrack's code computes: attention written out, the template embedded in each frame, and all three maps."""

    @torch.inference_mode()
    def encode_template(self, template: np.ndarray) -> Any:
        return self._preprocess([template])

    @torch.inference_mode()
    def predict_maps(self, encoded_templates: Sequence[Any], search_crops: Sequence[np.ndarray]) -> list[NumpyHeadMaps]:
        with patch("tracking.models.one_stream_vit.compute_attention", explicit_attention):
            return split_head_maps(self.model(encoded_templates[0], self._preprocess(search_crops)))


def explicit_attention(attn: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    logits = (q @ k.transpose(-2, -1)) * attn.scale
    weights = (logits if bias is None else logits + bias).softmax(-1)
    return weights @ v


def make_deit_tracker(sizes: CropSizes, **settings: Any) -> TrackerModel:
    """DeiT-Tiny's shape: 192 channels, 12 blocks, 3 heads."""
    torch.manual_seed(0)
    trunk = create_backbone("deit_tiny", checkpoint="random", num_classes=0).model
    return TrackerModel(trunk, sizes.template_size, sizes.search_size, MEAN, STD, **settings).eval()


def deploy_network(
    model: TrackerModel, sizes: CropSizes, format_: ExportFormat, precision: Precision = "f32"
) -> TrackerNetwork:
    """A model behind a runtime, on as many threads as torch takes."""
    return build_runtime_network(model, sizes, RUNTIME_BY_FORMAT[format_], precision, torch.get_num_threads())


def make_variants() -> dict[str, TrackerNetwork]:
    """What is timed, all at 256 px with ViT-Tiny; the first is the alternative of all others."""
    dropping, small = {"candidate_elimination": CandidateElimination()}, {"asymmetric_attention": True}
    models = {
        "": make_deit_tracker(FULL_CROPS),
        ", candidate elimination": make_deit_tracker(FULL_CROPS, **dropping),
        ", cached template, 64-channel head": make_deit_tracker(FULL_CROPS, head_channels=64, **small),
        _SMALLEST: make_deit_tracker(FULL_CROPS, head_channels=64, **small, **dropping),
    }
    exports: list[tuple[str, ExportFormat, Precision]] = [
        *((name, "openvino", "f32") for name in models),
        *((name, "onnx", "f32") for name in ("", _SMALLEST)),
        *((name, "openvino", "bf16") for name in models if has_bf16()),
        *((_SMALLEST, format_, "int8") for format_ in RUNTIME_BY_FORMAT),
    ]
    found: dict[str, TrackerNetwork] = {
        "PyTorch as OSTrack": ExplicitSoftmaxNetwork(models[""]),
        "PyTorch": TorchNetwork(models[""]),
        f"PyTorch{_SMALLEST}": TorchNetwork(models[_SMALLEST]),
    }
    titles = {"openvino": "OpenVINO", "onnx": "ONNX Runtime"}
    for name, format_, precision in exports:
        found[f"{titles[format_]} {precision}{name}"] = deploy_network(models[name], FULL_CROPS, format_, precision)
    return found


_SMALLEST = ", cached template, 64-channel head, candidate elimination"


def has_bf16() -> bool:
    return "BF16" in openvino.get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class NetworkTime(NamedTuple):
    """Milliseconds of one search region: the median, and the least, which other work on the machine moves less."""

    median: float
    least: float


def time_networks(
    networks: dict[str, TrackerNetwork], sizes: CropSizes, blocks: int = BLOCKS
) -> dict[str, NetworkTime]:
    """Time one search region, best cell in hand; on one thread its CPU time, which a busy machine moves little.

    Networks take turns in blocks, so that noise meets all, after a pause each: the threads of a runtime go on spinning
    for a while and would take the cores from the next.
    """
    rng = np.random.default_rng(0)
    template, search = (rng.integers(0, 256, (side, side, 3), np.uint8) for side in sizes[:2])
    memories = {name: network.encode_template(template) for name, network in networks.items()}
    times: dict[str, list[float]] = {name: [] for name in networks}
    read_clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for _ in range(blocks):
        for name, network in networks.items():
            time.sleep(0.3)
            for number in range(WARM_UP + ROUNDS):
                began = read_clock()
                network.predict_maps([memories[name]], [search])
                if number >= WARM_UP:
                    times[name].append(1000 * (read_clock() - began))
    return {name: NetworkTime(statistics.median(values), min(values)) for name, values in times.items()}


def measure_fps(network: TrackerNetwork, sizes: CropSizes, video: Path) -> float:
    """Frames a second from a video file to boxes: decoding in line, crop, network, box; first frames not counted."""
    reader = cv2.VideoCapture(str(video))
    tracker = Tracker(network, sizes)
    tracker.init(_read_frame(reader), (290, 150, 60, 60))
    for number in range(1, FRAMES):
        if number == WARM_UP:
            began = time.perf_counter()
        tracker.update(_read_frame(reader))
    reader.release()
    return (FRAMES - WARM_UP) / (time.perf_counter() - began)


def _read_frame(reader: cv2.VideoCapture) -> np.ndarray:
    whole, frame = reader.read()
    assert whole, "the video is shorter than it was written"
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


@contextmanager
def write_video_360p() -> Iterator[Path]:
    """A 640 x 360 video of real frames, enlarged: the shared real sequence where there is one, else an embedded one."""
    (video, *_) = [*find_real_videos(), *read_test_videos(ensure_mini_lasot())]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (640, 360))
        for number in range(FRAMES):
            turn = number % (2 * len(video.frames) - 2)  # there and back again, without a cut
            frame = video.read_frame(min(turn, 2 * len(video.frames) - 2 - turn))
            writer.write(cv2.cvtColor(cv2.resize(frame, (640, 360)), cv2.COLOR_RGB2BGR))
        writer.release()
        yield path


def find_real_videos() -> list[Video]:
    """The two real sequences, where they are."""
    folder = (SHARED_DATA_VAR.read_path() or ROOT.parent / "shared" / "data") / "sequences"
    return read_folder_videos(folder) if folder.is_dir() else []


def compare_exports(model: TrackerModel, sizes: CropSizes) -> list[tuple[str, ...]]:
    """Boxes of each export against PyTorch's over the real videos, each tracker going its own way."""
    videos = find_real_videos()
    ours = [track_video(TorchNetwork(model), sizes, video) for video in videos]
    rows: list[tuple[str, ...]] = [
        ("boxes against PyTorch", "video", "largest px", "mean IoU", "IoU with truth", "torch")
    ]
    for format_, precision in _EXPORTS:
        if precision == "bf16" and not has_bf16():
            continue
        network = deploy_network(model, sizes, format_, precision)
        for video, expected in zip(videos, ours, strict=True):
            found = track_video(network, sizes, video)
            cells = (np.abs(found - expected).max(), compute_iou(found, expected).mean())
            truth = [compute_iou(boxes, video.boxes[1:])[video.visible[1:]].mean() for boxes in (found, expected)]
            texts = (f"{value:.4f}" for value in (*cells, *truth))
            rows.append((f"{RUNTIME_BY_FORMAT[format_]} {precision}", video.name, *texts))
    return rows


_EXPORTS: tuple[tuple[ExportFormat, Precision], ...] = (
    *(("onnx", "f32"), ("openvino", "f32"), ("openvino", "bf16")),
    *(("onnx", "int8"), ("openvino", "int8")),
)


def track_video(network: TrackerNetwork, sizes: CropSizes, video: Video) -> np.ndarray:
    """Boxes of all frames but the first."""
    tracker = Tracker(network, sizes)
    tracker.init(video.read_frame(0), video.boxes[0])
    return np.array([tracker.update(video.read_frame(number)) for number in range(1, len(video.frames))])


def run_suite() -> list[SpeedRatio]:
    """One search region in each runtime against what OSTrack computes; then a whole 360p frame, in OpenVINO f32."""
    times = time_networks(make_variants(), FULL_CROPS)
    (base, *rest) = times
    lines = [
        SpeedRatio(
            f"ViT-Tiny 256 px, {name} / {base}, {what}", getattr(times[name], what), getattr(times[base], what), "ms"
        )
        for name in rest
        for what in NetworkTime._fields
    ]
    with write_video_360p() as video:
        for name, sizes in (("256 px", FULL_CROPS), ("fast128", FAST_CROPS)):
            model = make_deit_tracker(sizes)
            rates = [
                measure_fps(network, sizes, video)
                for network in (deploy_network(model, sizes, "openvino"), ExplicitSoftmaxNetwork(model))
            ]
            what = f"360p video to boxes, {name}, OpenVINO f32 / PyTorch as OSTrack"
            lines.append(SpeedRatio(what, 1000 / rates[0], 1000 / rates[1], "ms"))
    return lines


def main() -> None:
    """Print the suite as frames a second too; with a run, its boxes over the real videos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a finished tracking run")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [
        (*line.to_cells(), f"{1000 / line.ours:.1f}", f"{line.alternative / line.ours:.2f}x") for line in run_suite()
    ]
    head = ("what", "ours", "alternative", "ratio", "frames/s", "times as fast")
    write_stdout(f"{options.threads} threads\n" + align_columns([head, *rows]))
    if options.run is not None:
        from tracking.inference.run_files import load_recipe, load_torch_factory

        write_stdout(
            "\n"
            + align_columns(
                compare_exports(load_torch_factory(options.run).load_model(), load_recipe(options.run).crop_sizes())
            )
        )


if __name__ == "__main__":
    main()
