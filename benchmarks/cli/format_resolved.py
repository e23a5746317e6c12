"""``--dry-run``: describe what a run would do, and train nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.cli.output import align_columns, write_json, write_stdout
from foundation.errors import RecordError

if TYPE_CHECKING:
    from benchmarks.matrix.cell_states import CellStatus
    from benchmarks.resolve_cell import CellParts, CellRequest

_STATE_WORDS = {
    "done": "done: its record answers, and nothing would be computed",
    "unfinished": "unfinished: the run would go on from its last checkpoint",
    "stale": "stale: the record at hand is of another id, so the cell would run again",
    "missing": "missing: the cell would run",
}


def describe_requests(requests: Sequence[CellRequest], as_json: bool) -> int:
    """Write id, board, data, state and every setting of each cell; nothing is trained and no folder is made.

    What a run would refuse before it makes a folder is refused here.

    Args:
        requests: the cells.
        as_json: write one JSON list.

    Returns:
        The exit code 0.

    Raises:
        BenchError: a cell cannot begin; the message is the one that its run would end with.
    """
    from benchmarks.matrix.cell_states import find_cell_states
    from benchmarks.resolve_cell import resolve_cell
    from benchmarks.run_cell import check_cell
    from engine.device import get_dist_info

    statuses = find_cell_states(requests)
    checked = set()
    for request, status in zip(requests, statuses, strict=True):
        if status.parts is None:
            resolve_cell(request)  # raises the error with its own exit code
        elif status.state == "impossible":
            raise RecordError(status.reason)
        # cells that differ in the seed share their parts, and a backbone that fits one of them fits all
        elif status.state != "done" and id(status.parts) not in checked:
            check_cell(request, status.parts)
            checked.add(id(status.parts))
    cells = [(status, status.parts) for status in statuses if status.parts is not None]
    if get_dist_info()[0] > 0:  # of several processes one writes
        return 0
    if as_json:
        write_json([_to_dict(*cell, request) for cell, request in zip(cells, requests, strict=True)])
    else:
        write_stdout("\n\n".join(_format(*cell, request) for cell, request in zip(cells, requests, strict=True)))
    return 0


def _format(status: CellStatus, parts: CellParts, request: CellRequest) -> str:
    from benchmarks.cell_record import describe_input
    from benchmarks.matrix.resolved_settings import list_resolved_settings

    plan, data = parts.plan, parts.data
    splits = ", ".join(f"{name} {count:,}" for name, count in data.splits.items())
    notes = "".join(f"; NOT THE OFFICIAL SET: {sentence}" for sentence in data.deviations)
    notes += "".join(f"; IN TWO SPLITS: {sentence}" for sentence in data.duplicates)
    arguments = ", ".join(f"{name}={value}" for name, value in plan.backbone_kwargs.items())
    facts = [
        ("task", f"{parts.task.name}, protocol {parts.request.protocol} version {plan.protocol_version}, "
                 f"tier {request.tier}, seed {request.seed}"),
        ("backbone", f"{parts.backbone.name} ({arguments}), start {_describe_start(parts)}"),
        ("input", f"{describe_input(parts.backbone)}, for pixels from 0 to 1"),
        *([("label", parts.backbone.label)] if parts.backbone.label else []),
        ("data", f"{splits}; fingerprint {data.fingerprint[:12]} over {data.coverage}{notes}"),
        ("run id", str(status.run_id)),
        ("board", f"key {status.comparability}; runs with the same key may be compared"),
        ("state", _STATE_WORDS.get(status.state, status.state) + (f" ({status.reason})" if status.reason else "")),
        *([("folder", str(status.folder))] if status.folder else []),
        ("phases", ", ".join(plan.steps)),
        ("scored", f"{plan.num_expected_items:,} items"),
    ]  # fmt: skip
    settings = list_resolved_settings(parts)
    rows = [
        ("setting", "value", "from", ""),
        *((each.name, str(each.value), each.source, _mark(each.counts)) for each in settings),
    ]
    return "\n".join([align_columns(facts), "", align_columns(rows)])


def _mark(counts: bool) -> str:
    return "" if counts else "not part of the id: it cannot change the number"


def _describe_start(parts: CellParts) -> str:
    from benchmarks.cell_record import describe_weights_key

    checkpoint = parts.backbone.checkpoint
    if checkpoint is None:
        return parts.backbone.init
    words = [f"{parts.backbone.init} {checkpoint.uri}", f"sha256 {checkpoint.sha256[:12]}"]
    return ", ".join(filter(None, (*words, describe_weights_key(parts.backbone))))


def _to_dict(status: CellStatus, parts: CellParts, request: CellRequest) -> dict[str, Any]:
    from benchmarks.matrix.resolved_settings import list_resolved_settings

    return {
        "task": parts.task.name,
        "protocol": parts.request.protocol,
        "protocol_version": parts.plan.protocol_version,
        "tier": request.tier,
        "seed": request.seed,
        "backbone": parts.backbone.model_dump(mode="json"),
        "data": parts.data.as_dict(),
        "run_id": status.run_id,
        "board": status.comparability,
        "state": status.state,
        "reason": status.reason,
        "folder": str(status.folder) if status.folder else None,
        "phases": list(parts.plan.steps),
        "expected": parts.plan.num_expected_items,
        "settings": [each._asdict() for each in list_resolved_settings(parts)],
    }
