"""`bench` from Python: what a lightweight vision backbone is worth downstream.

    import litevit_bench as bench

    record = bench.run("digits", "vit_nano", protocol="knn")
    print(record.result.metrics["top1"].value)

Every function here does what the verb of its name does on the command line, and returns data instead of text.
Nothing heavy is imported before a function needs it. Where something goes wrong, a ``bench.BenchError`` says in one
sentence what, where, and how to fix it.
"""

from __future__ import annotations

from litevit_bench._rooms import HiddenRoomError, require_own_rooms

require_own_rooms()

from foundation.network.telemetry import switch_telemetry_off

switch_telemetry_off()  # before any library is imported that would read it

from foundation.errors import BenchError, UserError
from litevit_bench._evaluations import LoadedRun, evaluate, load_run, predict
from litevit_bench._models import (
    create_backbone,
    list_backbones,
    list_pretraining_methods,
    load_tracker,
    profile,
)
from litevit_bench._results import compare, list_runs, merge, pack, score, submit, table, verify
from litevit_bench._runs import list_protocols, list_tasks, pretrain, run

__all__ = [
    "BenchError",
    "HiddenRoomError",
    "LoadedRun",
    "UserError",
    "compare",
    "create_backbone",
    "evaluate",
    "list_backbones",
    "list_pretraining_methods",
    "list_protocols",
    "list_runs",
    "list_tasks",
    "load_run",
    "load_tracker",
    "merge",
    "pack",
    "predict",
    "pretrain",
    "profile",
    "run",
    "score",
    "submit",
    "table",
    "verify",
]
