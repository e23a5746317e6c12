"""Commands that need no model, against the imports that they leave out."""

from __future__ import annotations

import os
import tempfile
from unittest import mock

from tests.perf.line import SpeedRatio
from tests.perf.table import measure_process

ROUNDS = 5
COMMANDS = (
    ("run", "digits", "--backbone", "vit_pico", "--protocol", "knn", "--out"),
    ("plan", "--tasks", "digits", "--backbones", "vit_pico", "--protocols", "knn", "--out"),
    ("table", "--runs"),
    ("list", "runs", "--runs"),
)


def run_suite() -> list[SpeedRatio]:
    """CPU seconds of a whole process, rounds in turn, the smallest of each."""
    imports = ("-c", "import torch, sklearn.datasets, scipy.stats")
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, BENCH_CACHE=f"{folder}/cache"):
        commands = [("-m", "litevit_bench", *words, f"{folder}/runs") for words in COMMANDS]
        measure_process(*commands[0])  # makes the record
        rounds = [[measure_process(*words)[0] for words in (*commands, imports)] for _ in range(ROUNDS)]
    *ours, other = (min(times) for times in zip(*rounds, strict=True))
    return [
        SpeedRatio(
            f"bench {words[0]}{' (answered)' if words[0] == 'run' else ''} / the imports left out", time, other, "s"
        )
        for words, time in zip(COMMANDS, ours, strict=True)
    ]
