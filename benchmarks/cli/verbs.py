"""The verbs of ``bench``: what each is for, and which file holds it. Nothing else of the house is imported here."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import NamedTuple


class Verb(NamedTuple):
    """One verb; its file is ``benchmarks/cli/<group>/<verb>.py``, with ``add_arguments`` and ``main``."""

    group: str
    summary: str
    example: str


GROUP_TITLES = {
    "experiments": "train, evaluate, look inside",
    "results": "what came out",
    "models": "models to use elsewhere",
    "setup": "this installation, data and weights",
}

VERBS = {
    "run": Verb("experiments", "train and evaluate a backbone on a task", "bench run digits --backbone vit_nano"),
    "pretrain": Verb(
        "experiments", "pre-train a backbone without labels", "bench pretrain mae --backbone vit_nano --data digits"
    ),
    "analyze": Verb(
        "experiments",
        "look inside: cka, attention, layers, data-scale, spectrum, pca, neighbours",
        "bench analyze cka vit_nano vit_pico",
    ),
    "demo": Verb("experiments", "real runs on embedded data, ending in a table and a page", "bench demo"),
    "table": Verb("results", "leaderboard of the runs found, as text or as a page", "bench table --html page"),
    "compare": Verb(
        "results",
        "two backbones or runs: difference, interval, p-value, and the items that differ",
        "bench compare vit_nano vit_pico",
    ),
    "verify": Verb("results", "check that records still follow from their files (--rerun-eval)", "bench verify runs"),
    "score": Verb(
        "results", "score result files by the rules of a data set", "bench score lasot --results results/atom"
    ),
    "list": Verb("results", "list tasks, backbones, protocols, pre-training methods or runs", "bench list tasks"),
    "show": Verb("results", "one backbone, task or run in full", "bench show backbone vit_nano"),
    "profile": Verb("models", "what backbones cost: MACs, memory, time", "bench profile vit_nano vit_pico --batch 8"),
    "export": Verb(
        "models",
        "export a finished tracker for ONNX Runtime or OpenVINO",
        "bench export runs/mini_lasot/RUN --format openvino",
    ),
    "track": Verb(
        "models",
        "follow a target through a video, a folder of images or a camera",
        "bench track walk.mp4 --init 240,110,60,150 --run runs/mini_lasot/RUN",
    ),
    "add": Verb(
        "models", "keep a pre-trained backbone under a name", "bench add backbone my_mae --from runs/pretrain/RUN"
    ),
    "get": Verb("setup", "fetch weights or data, or say how to fetch them by hand", "bench get weights mae_tiny"),
    "check": Verb(
        "setup", "check that a backbone fulfils its contract, or that data are complete", "bench check data digits"
    ),
    "cache": Verb("setup", "stored features and statistics: list and remove them (--prune)", "bench cache --prune 30"),
    "doctor": Verb("setup", "what is installed, what is wrong, and how to fix it", "bench doctor"),
}


def load_verb(name: str) -> ModuleType:
    """The module of a verb."""
    return importlib.import_module(f"benchmarks.cli.{VERBS[name].group}.{name}")
