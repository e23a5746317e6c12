"""Show a sweep as plain lines or as JSON events, and sum it up at its end."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.cli.format_run import format_metric
from benchmarks.cli.output import write_message, write_stdout
from benchmarks.matrix.cell_command import describe_cell, make_cell_command
from benchmarks.matrix.executors.executor import CellReport
from benchmarks.matrix.remaining_time import format_duration
from benchmarks.matrix.sweep import FailedCell, SweepState
from foundation.display_text import format_one_line
from foundation.plural import format_count
from results.records.store import read_record

_STATUS_SECONDS = 30.0
"""Time between two lines about where the sweep stands, if no cell ends in between."""


class PlainSweepView:
    """One line per cell that ended, on stderr."""

    def __init__(self) -> None:
        self._last_line = time.monotonic()

    def show_answered(self, state: SweepState) -> None:
        """Write how many cells need no work; their lines would bury the others."""
        if state.finished:
            write_message(f"bench: {format_count(len(state.finished), 'cell')} done already; their records answer")

    def show_started(self, state: SweepState, number: int) -> None:
        """Say nothing: a line at the end of the cell is enough."""

    def show_finished(self, state: SweepState, report: CellReport) -> None:
        """Write the value of the cell, and where the sweep stands."""
        self._write(state, f"{describe_cell(state.cells[report.number].request)}: {describe_value(report)}")

    def show_postponed(self, state: SweepState, number: int, reason: str) -> None:
        """Write why the cell has to be tried again."""
        self._write(state, f"{describe_cell(state.cells[number].request)}: {reason}")

    def show_failed(self, state: SweepState, cell: FailedCell) -> None:
        """Write why the cell failed."""
        self._write(state, f"{describe_cell(state.cells[cell.number].request)}: failed: {cell.sentence}")

    def refresh(self, state: SweepState) -> None:
        """Write what runs, if nothing was written for a while."""
        if time.monotonic() - self._last_line >= _STATUS_SECONDS and state.running:
            now = time.monotonic()
            running = [
                f"{describe_cell(state.cells[number].request)} ({format_duration(now - began)})"
                for number, began in state.running.items()
            ]
            self._write(state, f"running: {', '.join(running[:4])}{' ...' if len(running) > 4 else ''}")

    def _write(self, state: SweepState, text: str) -> None:
        self._last_line = time.monotonic()
        write_message(f"[{describe_progress(state)}] {text}")


class JsonSweepView:
    """One JSON object per event, on stdout."""

    def show_answered(self, state: SweepState) -> None:
        """Write an event for each cell, as for one that was run."""
        for report in state.finished.values():
            self.show_finished(state, report)

    def show_started(self, state: SweepState, number: int) -> None:
        """Write that a worker has the cell."""
        _write_event("started", state, number)

    def show_finished(self, state: SweepState, report: CellReport) -> None:
        """Write the folder and the metrics of the cell."""
        assert report.folder is not None, "a cell without a failure has a folder"
        record = read_record(report.folder)
        assert record.result is not None, "a complete record has a result"
        _write_event(
            "finished",
            state,
            report.number,
            run_id=record.run_id,
            folder=str(report.folder),
            from_record=report.is_from_record,
            seconds=round(report.seconds, 3),
            metrics={name: value.value for name, value in record.result.metrics.items()},
        )

    def show_postponed(self, state: SweepState, number: int, reason: str) -> None:
        """Write why the cell has to be tried again."""
        _write_event("postponed", state, number, reason=reason)

    def show_failed(self, state: SweepState, cell: FailedCell) -> None:
        """Write why the cell failed, and the command that runs it alone."""
        command = shlex.join(make_cell_command(state.cells[cell.number].request))
        _write_event("failed", state, cell.number, reason=cell.sentence, command=command, log_file=str(cell.log_file))

    def refresh(self, state: SweepState) -> None:
        """Write nothing: time is no event."""


def describe_value(report: CellReport) -> str:
    """Return the primary metric of a finished cell, and how long it took or that a record answered."""
    assert report.folder is not None, "a cell without a failure has a folder"
    record = read_record(report.folder)
    assert record.result is not None, "a complete record has a result"
    name = record.result.primary_metric
    value = format_metric(name, record.result.metrics[name])
    return f"{value} ({'from its record' if report.is_from_record else format_duration(report.seconds)})"


def describe_progress(state: SweepState) -> str:
    """Return how many cells are done, running and failed, and the remaining time of the sweep."""
    parts = [f"{len(state.finished) + len(state.failed)}/{len(state.cells)}"]
    if state.running:
        parts.append(f"{len(state.running)} running")
    if state.failed:
        parts.append(f"{len(state.failed)} failed")
    rest = state.predict_rest() if state.waiting or state.running else None
    if rest is not None:
        parts.append(f"{format_duration(rest)} left")
    return ", ".join(parts)


def write_summary(state: SweepState, seconds: float) -> None:
    """Write to stderr how the sweep ended, and for each failed cell the command that runs it alone."""
    answered = sum(report.is_from_record for report in state.finished.values())
    parts = [f"{format_count(len(state.finished), 'cell')} done ({answered} from records)"]
    if state.failed:
        parts.append(f"{len(state.failed)} failed")
    write_message(f"bench: {', '.join(parts)}, {format_duration(seconds)}")
    for number, cell in sorted(state.failed.items()):
        request = state.cells[number].request
        write_message(f"bench: failed: {describe_cell(request)}: {cell.sentence}")
        write_message(f"  {shlex.join(make_cell_command(request))}")
        if cell.log_file.exists():
            write_message(f"  its output: {cell.log_file}")


def write_end_event(state: SweepState, seconds: float) -> None:
    """Write the last event of a sweep to stdout."""
    _dump(
        {
            "event": "end",
            "done": len(state.finished),
            "failed": len(state.failed),
            "total": len(state.cells),
            "seconds": round(seconds, 3),
        }
    )


def _write_event(event: str, state: SweepState, number: int, **more: object) -> None:
    request = state.cells[number].request
    rest = state.predict_rest()
    _dump(
        {
            "event": event,
            "cell": number,
            "task": request.task,
            "backbone": request.backbone,
            "checkpoint": request.checkpoint,
            "weights_key": request.weights_key,
            "mean": request.mean,
            "std": request.std,
            "label": request.label,
            "protocol": request.protocol,
            "tier": request.tier,
            "seed": request.seed,
            "data_scale": request.data_scale,
            "set": list(request.overrides),
            **more,
            "done": len(state.finished),
            "running": len(state.running),
            "waiting": len(state.waiting),
            "failed": len(state.failed),
            "seconds_left": None if rest is None else round(rest, 1),
        }
    )


def _dump(event: Mapping[str, Any]) -> None:
    # one line per event, so that a reader can follow
    write_stdout(format_one_line(json.dumps(event, ensure_ascii=False, allow_nan=False)))
    sys.stdout.flush()
