"""How many bytes the weights of a row take: of an exported model its files, otherwise its parameters."""

from __future__ import annotations

from results.leaderboard.table import BoardRow
from results.records.record import ARTIFACT_BYTES

FLOAT_BYTES = 4


def get_artifact_bytes(row: BoardRow) -> int | None:
    """Return the size of a row's model in bytes, or ``None`` if it is not known.

    Of an exported model these are the bytes of its files as its record has them: no export beside the record counts,
    which may be another one. PyTorch computes with weights of four bytes; a checkpoint file may hold more than the
    model, so its size says nothing.
    """
    _, record = row.runs[0]
    stated = record.result.details.get(ARTIFACT_BYTES) if record.result else None
    # bool is an int in Python, and a record may hold anything
    if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0:
        return stated
    runtime = record.backbone.arguments.get("runtime") if record.is_evaluation else None
    if runtime is None or runtime == "torch":
        return FLOAT_BYTES * row.cost.parameters if row.cost.parameters else None
    return None
