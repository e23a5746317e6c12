"""The verbs of ``bench``: their summaries, examples and modules. Imports no other module of this project."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import NamedTuple


class Verb(NamedTuple):
    """One verb. Its module is ``benchmarks/cli/<group>/<verb>.py``, with the functions ``add_arguments`` and ``main``.

    Attributes:
        group: folder of the module, and heading in ``bench --help``.
        summary: what the verb does, in one line.
        example: a complete command line.
    """

    group: str
    summary: str
    example: str


# in the order of bench --help: from an experiment to its results and beyond
GROUP_TITLES = {
    "experiments": "train, evaluate and analyze backbones",
    "results": "inspect and compare results",
    "models": "profile, export and use models",
    "setup": "installation, data and weights",
}

# Written here and not in the modules of the verbs, so that bench --help imports none of them
VERBS = {
    "run": Verb("experiments", "train and evaluate a backbone on a task", "bench run digits --backbone vit_nano"),
    "evaluate": Verb(
        "experiments",
        "test a finished model as it is: a run, a timm model, a checkpoint, an mmseg config",
        "bench evaluate imagenet --backbone timm/deit_tiny_patch16_224.fb_in1k",
    ),
    "plan": Verb(
        "experiments",
        "tell what is done, stale or missing of many cells, and what the rest will cost",
        "bench plan --tasks digits mini_ade --backbones vit_nano --seeds 0 1",
    ),
    "sweep": Verb(
        "experiments",
        "run every cell of a matrix: backbones x tasks x protocols x seeds, in parallel",
        "bench sweep --backbones vit_nano vit_pico --tasks digits --seeds 0 1",
    ),
    "pretrain": Verb(
        "experiments", "pre-train a backbone without labels", "bench pretrain mae --backbone vit_nano --data digits"
    ),
    "analyze": Verb(
        "experiments",
        "analyze a backbone: cka, attention, layers, data-scale, spectrum, pca, neighbours",
        "bench analyze cka vit_nano vit_pico",
    ),
    "demo": Verb("experiments", "do small real runs on embedded data and write a table and a page", "bench demo"),
    "table": Verb("results", "write the leaderboard of all runs as text or as a web page", "bench table --html page"),
    "choose": Verb(
        "results",
        "choose the best models under limits of latency, size, MACs or parameters",
        "bench choose --task imagenet --under 10ms 50MB",
    ),
    "items": Verb(
        "results",
        "write the outcomes of all test items of runs as one table, CSV or Parquet",
        "bench items --task digits --out items.csv",
    ),
    "compare": Verb(
        "results",
        "compare two backbones or runs: difference, interval, p-value, and the items that differ",
        "bench compare vit_nano vit_pico",
    ),
    "verify": Verb(
        "results",
        "check records against their files, task, data and ledger, or make the runs again (--rerun)",
        "bench verify runs",
    ),
    "merge": Verb(
        "results",
        "write the union of several stores, and name what contradicts",
        "bench merge runs colleague --out all",
    ),
    "pack": Verb(
        "results",
        "pack the records of a store, without weights, into one archive",
        "bench pack runs -o results.tar.zst",
    ),
    "submit": Verb(
        "results",
        "make the checks of a repository of results, and pack what passes",
        "bench submit runs -o submission.tar.zst",
    ),
    "score": Verb(
        "results", "score result files by the rules of a data set", "bench score lasot --results results/atom"
    ),
    "list": Verb(
        "results", "list tasks, backbones, protocols, pre-training methods, suites or runs", "bench list tasks"
    ),
    "show": Verb("results", "show all details of a backbone, task or run", "bench show backbone vit_nano"),
    "profile": Verb(
        "models", "measure the cost of backbones: MACs, memory, time", "bench profile vit_nano vit_pico --batch 8"
    ),
    "export": Verb(
        "models",
        "export the model of a finished run for ONNX Runtime or OpenVINO",
        "bench export runs/mini_lasot/RUN --format openvino",
    ),
    "predict": Verb(
        "models",
        "predict the classes of images, or of their pixels, with a finished model",
        "bench predict photos/ --run runs/mini_ade/RUN --out predictions",
    ),
    "track": Verb(
        "models",
        "follow a target through a video, a folder of images or a camera",
        "bench track walk.mp4 --init 240,110,60,150",
    ),
    "add": Verb(
        "models",
        "store a pre-training run or a weight file under a name",
        "bench add backbone my_mae --checkpoint my_mae.pth",
    ),
    "get": Verb(
        "setup",
        "fetch weights or data, or say how; list and carry what a machine without network needs",
        "bench get weights mae_tiny",
    ),
    "check": Verb(
        "setup",
        "check that a backbone fulfils its contract, that data are complete, or that a task measures its images",
        "bench check data digits",
    ),
    "cache": Verb(
        "setup", "list stored features, statistics and indexes, or remove them (--prune)", "bench cache --prune 30"
    ),
    "doctor": Verb("setup", "report what is installed, what is wrong, and how to fix it", "bench doctor"),
}

COMPLETED_SHELLS = ("bash", "zsh", "tcsh")
"""Shells for which ``bench --print-completion`` writes a script: those whose scripts are tested."""


def load_verb(name: str) -> ModuleType:
    """Import the module of a verb."""
    return importlib.import_module(f"benchmarks.cli.{VERBS[name].group}.{name}")
