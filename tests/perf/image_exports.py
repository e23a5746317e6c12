"""Exported classifiers and segmentors beside PyTorch: one image at a time. ``python -m tests.perf.image_exports``.

All networks of a task take turns in one run, so that what else the machine does meets all of them: compare their
ratios, and times of one run only.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from backbones.create import create_backbone
from backbones.registry import get_card
from benchmarks.cli.output import write_stdout
from deployment.formats import ExportFormat
from deployment.image_models import RuntimeNetwork, export_image_model, load_image_model
from deployment.images.image_manifest import ImageModelFacts
from deployment.images.image_sets import make_calibration_photos, make_parity_photos
from deployment.manifest import ExportOrigin
from engine.evaluation.model_source import Precision
from foundation.errors import UserError
from segmentation.deployment.runtime_network import SegmentorModule
from segmentation.models.segmentor import build_segmentor
from tests.segmentation.make import make_recipe

EXPORTS: tuple[tuple[ExportFormat, Precision], ...] = (
    *(("onnx", "f32"), ("onnx", "int8")),
    *(("openvino", "f32"), ("openvino", "bf16"), ("openvino", "int8")),
)
ORIGIN = ExportOrigin(
    run_id=None, backbone="deit_tiny", task="", protocol="as_is", checkpoint_sha256="0" * 64, licence="none"
)
CROP = 256
BLOCKS, ROUNDS, WARM_UP = 5, 5, 1


def make_models() -> dict[str, tuple[nn.Module, ImageModelFacts, int]]:
    """DeiT-Tiny at 224 px, and under semantic FPN at 256 px, with random weights: these do not change the time."""
    torch.manual_seed(0)
    card = get_card("deit_tiny")
    mean, std = list(card.mean), list(card.std)
    classifier = create_backbone(card, checkpoint="random", num_classes=1000).model.eval()
    recipe = make_recipe("ade20k_semantic_fpn", f"crop={CROP}", f"test.stride={CROP}")
    segmentor = build_segmentor(recipe, card, 150, "BN", checkpoint="random").eval()
    facts = ImageModelFacts(kind="segmentor", logit_size="head", num_classes=150, mean=mean, std=std)
    classes = ImageModelFacts(kind="classifier", num_classes=1000, mean=mean, std=std)
    return {
        "classifier 224 px": (classifier, classes, 224),
        f"semantic FPN {CROP} px": (SegmentorModule(segmentor, facts, (1, 1), False), facts, CROP),
    }


def export_all(model: nn.Module, facts: ImageModelFacts, side: int, folder: Path) -> dict[str, Path]:
    """The folder of each export; a precision that this CPU lacks is left out."""
    found = {}
    for export_format, precision in EXPORTS:
        try:
            made = export_image_model(
                model,
                facts,
                export_format=export_format,
                precision=precision,
                out=folder,
                origin=ORIGIN,
                example=torch.zeros(1, 3, side, side),
                # the ranges and the comparison change no time
                calibration=make_calibration_photos((side, side), facts.mean, facts.std, 4),
                parity_images=make_parity_photos([(side, side)], facts.mean, facts.std, 1),
            )
        except UserError:
            continue
        found[f"{made.manifest.runtime} {precision}"] = made.folder
    return found


def time_in_turns(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each call; after a pause each, since the threads of a runtime go on spinning."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(BLOCKS):
        for name, call in calls.items():
            time.sleep(0.3)
            for number in range(WARM_UP + ROUNDS):
                began = time.perf_counter()
                call()
                if number >= WARM_UP:
                    times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in times.items()}


def measure_rows(all_threads: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """A row for each network and number of threads: milliseconds, and how many times as fast as PyTorch."""
    for name, (model, facts, side) in make_models().items():
        image = torch.randn(1, 3, side, side)
        with tempfile.TemporaryDirectory() as folder:
            folders = export_all(model, facts, side, Path(folder))
            for threads in all_threads:
                torch.set_num_threads(threads)
                calls = {"torch f32": _make_torch_call(model, image)}
                calls |= {
                    runtime: _make_call(load_image_model(path, threads), image) for runtime, path in folders.items()
                }
                times = time_in_turns(calls)
                for runtime, ms in times.items():
                    yield name, str(threads), runtime, f"{ms:.1f}", f"{times['torch f32'] / ms:.2f}x"


def _make_torch_call(model: nn.Module, image: Tensor) -> Callable[[], object]:
    def run() -> None:
        with torch.inference_mode():
            model(image)

    return run


def _make_call(network: RuntimeNetwork, image: Tensor) -> Callable[[], object]:
    return lambda: network(image)


def main() -> None:
    """Print the table for one and two threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    head = ("what", "threads", "runtime", "ms", "times as fast")
    write_stdout("  ".join(head))
    for row in measure_rows(options.threads):
        write_stdout("  ".join(row))


if __name__ == "__main__":
    main()
