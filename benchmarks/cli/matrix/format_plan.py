"""Format the plan of a matrix as text for the terminal or as plain data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.cli.output import align_columns
from benchmarks.matrix.cell_command import describe_cell
from benchmarks.matrix.remaining_time import format_duration
from foundation.plural import format_count

if TYPE_CHECKING:
    from benchmarks.matrix.plan_cells import PlannedCell

_COLUMNS = (
    "task",
    "protocol",
    "tier",
    "cells",
    "done",
    "unfinished",
    "stale",
    "missing",
    "impossible",
    "to run",
    "rests on",
)
_MAX_REASONS = 12
"""Maximum number of different reasons that are listed."""

_EXPLANATIONS = {
    "stale": "a record is there, but of other data, code or weights, so the cell runs again",
    "unfinished": "an attempt was broken off and goes on from its last checkpoint",
    "impossible": "the command would end with an error",
}


def format_plan(cells: Sequence[PlannedCell]) -> str:
    """Describe a plan: a table per task and protocol, the totals, and the reasons.

    Args:
        cells: the planned cells.
    """
    groups: dict[tuple[str, str, str], list[PlannedCell]] = defaultdict(list)
    for cell in cells:
        groups[(cell.task, cell.protocol or "(first)", cell.request.tier)].append(cell)
    rows = [_COLUMNS, *((*name, *_summarize(some)) for name, some in groups.items())]
    rows.append(("all", "", "", *_summarize(cells)))
    lines = [align_columns(rows), "", *_format_totals(cells)]
    for state, words in _EXPLANATIONS.items():
        lines += _format_reasons(state, words, [cell for cell in cells if cell.state == state])
    return "\n".join(lines)


def _summarize(cells: Sequence[PlannedCell]) -> tuple[str, ...]:
    from benchmarks.matrix.cell_states import CELL_STATES

    states = Counter(cell.state for cell in cells)
    kinds = Counter(cell.estimate.kind for cell in cells if cell.needs_run)
    counts = (str(states[state]) if states[state] else "-" for state in CELL_STATES)
    return (str(len(cells)), *counts, format_remaining(cells), ", ".join(kinds) or "-")


def format_remaining(cells: Iterable[PlannedCell]) -> str:
    """Return how long the cells that need a run will take together, as ``2.5 h`` or ``2.5 h + 3 unknown``."""
    needed = [cell for cell in cells if cell.needs_run]
    known = [cell.estimated_seconds for cell in needed if cell.estimated_seconds is not None]
    unknown = len(needed) - len(known)
    if not needed:
        return "-"
    if not known:
        return f"{unknown} unknown"
    return format_duration(sum(known)) + (f" + {unknown} unknown" if unknown else "")


def format_bytes(num_bytes: float) -> str:
    """Format a size in MiB or GiB."""
    return f"{num_bytes / 2**20:,.1f} MiB" if num_bytes < 2**30 else f"{num_bytes / 2**30:,.1f} GiB"


def _format_totals(cells: Sequence[PlannedCell]) -> Iterator[str]:
    needed = [cell for cell in cells if cell.needs_run]
    what = f"to run: {format_count(len(needed), 'cell')} of {len(cells):,}"
    if not needed:
        yield what
        return
    if all(cell.estimated_seconds is None for cell in needed):
        yield f"{what}; how long they take is unknown"
    else:
        yield f"{what}, {format_remaining(cells)} of computing"
    steps = [cell.estimate.steps for cell in needed if cell.estimate.steps is not None]
    disk = [
        cell.estimate.disk_bytes + cell.estimate.cache_bytes for cell in needed if cell.estimate.disk_bytes is not None
    ]
    memory = [cell.estimate.peak_memory_mib for cell in needed if cell.estimate.peak_memory_mib is not None]
    yield f"  optimizer steps: {_mark_unknown(f'{sum(steps):,}', len(needed) - len(steps), bool(steps))}"
    yield f"  disk: {_mark_unknown(format_bytes(sum(disk)), len(needed) - len(disk), bool(disk))}"
    largest = f"{max(memory):,.0f} MiB at most in one process" if memory else ""
    yield f"  peak memory: {_mark_unknown(largest, len(needed) - len(memory), bool(memory))}"
    evidence = Counter(cell.estimate.evidence for cell in needed)
    yield "  these figures rest on:"
    for words, count in evidence.most_common(_MAX_REASONS):
        yield f"    {format_count(count, 'cell')}: {words}"
    if len(evidence) > _MAX_REASONS:
        yield f"    and {len(evidence) - _MAX_REASONS} others (--json lists all)"


def _mark_unknown(text: str, num_unknown: int, is_known: bool) -> str:
    if not is_known:
        return "unknown"
    return text + (f", and {format_count(num_unknown, 'cell')} of which it is unknown" if num_unknown else "")


def _format_reasons(state: str, words: str, cells: Sequence[PlannedCell]) -> Iterator[str]:
    if not cells:
        return
    yield ""
    yield f"{state} ({words}):"
    reasons: dict[str, list[PlannedCell]] = defaultdict(list)
    for cell in cells:
        reasons[cell.reason].append(cell)
    for reason, some in sorted(reasons.items(), key=lambda entry: -len(entry[1]))[:_MAX_REASONS]:
        yield f"  {format_count(len(some), 'cell')}, such as {describe_cell(some[0].request)}: {reason}"
    if len(reasons) > _MAX_REASONS:
        yield f"  and {len(reasons) - _MAX_REASONS} other reasons (--json lists all)"


def format_choice(
    chosen: Sequence[PlannedCell], cells: Sequence[PlannedCell], budget_hours: float, command: str
) -> str:
    """Describe which cells fit into a budget, in the order in which they should run.

    Args:
        chosen: the cells that were chosen.
        cells: all cells of the plan.
        budget_hours: the budget.
        command: runs them.
    """
    needed = [cell for cell in cells if cell.needs_run]
    unknown = sum(cell.estimate.seconds is None for cell in needed)
    budget = format_duration(3600 * budget_hours)
    total = format_duration(sum(cell.estimated_seconds or 0.0 for cell in chosen))
    lines = [
        "",
        f"within {budget}: {len(chosen)} of {format_count(len(needed), 'cell')}, {total}; "
        "what tells most per hour comes first",
    ]
    for number, cell in enumerate(chosen, 1):
        lines.append(
            f"  {number:4}  {format_duration(cell.estimated_seconds or 0.0):>8}  {describe_cell(cell.request)}"
        )
    if unknown:
        lines.append(f"  left out because nothing is known of their duration: {format_count(unknown, 'cell')}")
    return "\n".join([*lines, f"run them: {command}"])


def plan_to_dict(cells: Sequence[PlannedCell], chosen: Sequence[PlannedCell] | None = None) -> dict[str, Any]:
    """Return a plan as plain data, with every cell.

    Args:
        cells: the planned cells.
        chosen: the cells that fit into a budget, in the order in which they should run; ``None`` without a budget.
    """
    states = Counter(cell.state for cell in cells)
    known = [cell.estimated_seconds for cell in cells if cell.needs_run and cell.estimated_seconds is not None]
    content: dict[str, Any] = {
        "states": dict(states),
        "seconds": sum(known),
        "cells_of_unknown_duration": sum(cell.needs_run for cell in cells) - len(known),
        "cells": [planned_cell_to_dict(cell) for cell in cells],
    }
    if chosen is not None:
        content["chosen"] = [planned_cell_to_dict(cell) for cell in chosen]
    return content


def planned_cell_to_dict(cell: PlannedCell) -> dict[str, Any]:
    """Return a planned cell as plain data."""
    request, estimate = cell.request, cell.estimate
    return {
        "task": cell.task,
        "protocol": cell.protocol,
        "tier": request.tier,
        "backbone": cell.backbone,
        "checkpoint": request.checkpoint,
        "weights_key": request.weights_key,
        "mean": request.mean,
        "std": request.std,
        "label": request.label,
        "seed": request.seed,
        "overrides": list(request.overrides),
        "data_scale": request.data_scale,
        "run_id": cell.run_id,
        "board": cell.row.comparability if cell.row else None,
        "state": cell.state,
        "reason": cell.reason,
        "folder": str(cell.folder) if cell.folder else None,
        "seconds": cell.estimated_seconds,
        "seconds_alone": estimate.seconds,
        "steps": estimate.steps,
        "disk_bytes": estimate.disk_bytes,
        "cache_bytes": estimate.cache_bytes,
        "peak_memory_mib": estimate.peak_memory_mib,
        "evidence": estimate.evidence,
    }
