"""Evaluations of finished models made up for tests: records of the protocol ``as_is``, as ``bench evaluate`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from results.statistics.ranking import StoredRun
from tests.results.make import make_cost, make_record, write_digits_run


def write_evaluation(
    folder: Path,
    name: str,
    correct: Iterable[bool],
    arguments: Mapping[str, Any] | None = None,
    milliseconds: float | None = 5.0,
    parameters: int = 1_000_000,
    **changes: Any,
) -> StoredRun:
    """A finished model that had these images of the digits right.

    Args:
        folder: folder to write.
        name: name of the backbone.
        correct: whether each image was right.
        arguments: how the model was applied: ``runtime``, ``precision``, ``img_size`` ...
        milliseconds: the latency; ``None``: not measured.
        parameters: of the model.
        changes: further fields of the record; ``efficiency`` has fields of the measured costs.
    """
    applied = dict(arguments or {})
    where = {"runtime": applied.get("runtime", "torch"), "precision": applied.get("precision", "f32")}
    efficiency = changes.pop("efficiency", {})
    cost = make_cost(parameters, milliseconds or 1.0, **(where | efficiency))
    if milliseconds is None:
        cost["efficiency"] |= {"latency": None, "throughput": None, "chip": None, "threads": None}
    first = make_record().model_dump()
    backbone = first["backbone"] | {
        "name": name,
        "card": first["backbone"]["card"] | {"name": name},
        "arguments": applied,
        "init": "card",
        "checkpoint": {"uri": f"hub:{name}", "sha256": name.encode().hex().ljust(64, "0")[:64], "bytes": 10},
    }
    environment = first["environment"] | {"command": ["bench", "evaluate", "digits", "--backbone", name]}
    return write_digits_run(
        folder,
        name,
        correct,
        **{
            "protocol": "as_is",
            "protocol_version": 1,
            "config": {"recipe": {"num_classes": 10}},
            "changed_settings": [],
            "schema_version": 7,
            "backbone": backbone,
            "environment": environment,
            "cost": cost,
            **changes,
        },
    )
