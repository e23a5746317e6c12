"""A finished run of detection, trained once for all tests of finished detectors."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from benchmarks.cli.main import main
from engine.evaluation.model_source import ModelSource

# steps so small that the classes stay equally likely: a detector that has hardly learned finds nothing but background
RUN = (
    *("run", "mini_coco", "--backbone", "vit_nano", "--protocol", "vitdet_short", "--tier", "smoke"),
    *("--device", "cpu", "--set", "max_items=6", "size=96", "test.min_score=0.01", "optimizer.lr=1e-5"),
)


@cache
def train_detector(out: Path) -> Path:
    """Train below a folder, and return the folder of the run."""
    assert main([*RUN, "--out", str(out)]) == 0
    (folder,) = out.glob("mini_coco/*")
    return folder


def open_source(folder: Path, **changes: object) -> ModelSource:
    """The model of a run, on the CPU, with the images that it was tested on."""
    return ModelSource(**{"run": folder, "device": "cpu", "overrides": ("max_items=6",), **changes})  # type: ignore[arg-type]
