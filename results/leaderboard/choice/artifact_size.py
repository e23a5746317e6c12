"""How many bytes the weights of a row take: of an exported model its files, otherwise its parameters."""

from __future__ import annotations

from pathlib import Path

from results.leaderboard.table import BoardRow
from results.records.record import Record

BYTES_DETAIL = "artifact_bytes"
"""Entry of a result's details: the bytes of the files that a runtime loads."""

FLOAT_BYTES = 4

_FORMATS = {"onnxruntime": "onnx", "openvino": "openvino"}
"""How the folder of an export begins, ``<format>-<precision>``, by the runtime that loads it."""


def get_artifact_bytes(row: BoardRow) -> int | None:
    """Return the size of a row's model in bytes, or ``None`` if it is not known.

    Of an exported model these are the bytes of its files, as the record or the folder of the run has them. PyTorch
    computes with weights of four bytes; a checkpoint file may hold more than the model, so its size says nothing.
    """
    folder, record = row.runs[0]
    stated = record.result.details.get(BYTES_DETAIL) if record.result else None
    # bool is an int in Python, and a record may hold anything
    if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0:
        return stated
    runtime = record.backbone.arguments.get("runtime") if record.is_evaluation else None
    if runtime is None or runtime == "torch":
        return FLOAT_BYTES * row.cost.parameters if row.cost.parameters else None
    return _measure_export(folder, record, str(runtime))


def _measure_export(folder: Path, record: Record, runtime: str) -> int | None:
    """Return the bytes of the export of an evaluation; a store without exports has none.

    It is in the folder of the evaluation, or beside it in the folder of the run whose model was evaluated.
    """
    if runtime not in _FORMATS:
        return None
    name = f"{_FORMATS[runtime]}-{record.backbone.arguments.get('precision', 'f32')}"
    places = [folder]
    if record.backbone.checkpoint is not None:  # RUN/checkpoints/last.pth
        run = Path(record.backbone.checkpoint.uri).parent.parent.name
        places += [folder.parent / run] if run and not run.startswith(".") else []
    for export in (each for place in places for each in (place / name, *sorted(place.glob(f"*/{name}")))):
        # no link is followed: a record of somebody else must not make this look elsewhere
        files = [path for path in export.glob("*") if path.is_file() and not path.is_symlink()]
        if (export / "manifest.json") in files:
            return sum(path.stat().st_size for path in files if path.name != "manifest.json") or None
    return None
