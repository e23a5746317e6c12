"""``bench plan`` of 5,000 cells: 25 backbones under 5 protocols with 40 seeds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from backbones.registry import BACKBONES
from tests.conftest import ROOT
from tests.perf.line import SpeedRatio

BACKBONE_COUNT, SEEDS = 25, 40


def run_suite() -> list[SpeedRatio]:
    """Wall time of the whole command against importing torch, which it does without once the networks are described."""
    names = [name for name in BACKBONES.list_names() if "cifar" not in name][:BACKBONE_COUNT]
    words = ["plan", "--no-calibration", "--checkpoint", "random", "--backbones", *names, "--json"]
    words += ["--seeds", *map(str, range(SEEDS)), "--tasks", "digits", "--protocols"]
    protocols = ["finetune", "linear", "linear_sgd", "lowshot", "knn"]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "BENCH_CACHE": folder, "OMP_NUM_THREADS": "1"}
        command = ("-m", "litevit_bench", *words, *protocols)
        first, again = (time_process(environment, *command) for _ in range(2))
        torch = time_process(environment, "-c", "import torch")
    count = len(names) * SEEDS * len(protocols)
    return [
        SpeedRatio(f"bench plan, {count:,} cells / import torch", again, torch, "s"),
        SpeedRatio("its first time, which builds the networks / again", first, again, "s"),
    ]


def time_process(environment: dict[str, str], *words: str) -> float:
    """Wall time of a whole Python process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - began
