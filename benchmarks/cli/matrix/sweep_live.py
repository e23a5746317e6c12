"""Show a sweep as a table on a terminal that is drawn anew while it runs."""

from __future__ import annotations

import time
from statistics import fmean
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmarks.cli.matrix.sweep_display import describe_progress
from benchmarks.matrix.cell_command import describe_cell
from benchmarks.matrix.executors.executor import CellReport
from benchmarks.matrix.remaining_time import format_duration
from benchmarks.matrix.sweep import FailedCell, SweepState
from foundation.display_text import format_one_line
from results.records.store import read_record

_MAX_RUNNING = 6
_MAX_BOARDS = 12
_MAX_BACKBONES = 8


class LiveSweepView:
    """Draws where the sweep stands, what runs, and the boards as they fill; as a context manager, on stderr.

    A board is a row: the mean of its primary metric over the seeds that are done, for each backbone. Nothing is ranked
    before the end.
    """

    def __init__(self, title: str) -> None:
        self.title = format_one_line(title)
        self._began = time.monotonic()
        self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
        # values by board and backbone; runs of one board share their comparability digest
        self._values: dict[str, dict[str, list[float]]] = {}
        self._names: dict[str, str] = {}

    def __enter__(self) -> LiveSweepView:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show_answered(self, state: SweepState) -> None:
        """Put the values of the cells that are done on their boards."""
        for report in state.finished.values():
            self._add_value(state, report)
        self.refresh(state)

    def show_started(self, state: SweepState, number: int) -> None:
        """Draw the cell as running."""
        self.refresh(state)

    def show_finished(self, state: SweepState, report: CellReport) -> None:
        """Put the value of the cell on its board."""
        self._add_value(state, report)
        self.refresh(state)

    def _add_value(self, state: SweepState, report: CellReport) -> None:
        assert report.folder is not None, "a cell without a failure has a folder"
        record = read_record(report.folder)
        assert record.result is not None, "a complete record has a result"
        metric = record.result.metrics[record.result.primary_metric]
        request = state.cells[report.number].request
        row = f"{request.backbone}@{request.checkpoint}" if request.checkpoint else str(request.backbone)
        row = f"{request.label} ({row})" if request.label else row
        self._values.setdefault(record.comparability, {}).setdefault(row, []).append(metric.value)
        what = [record.task, record.protocol, "" if record.tier == "full" else record.tier]
        what += [f"{request.data_scale:g} of train"] if request.data_scale != 1 else []
        what += [*request.overrides, f"({record.result.primary_metric}, {metric.unit})"]
        self._names[record.comparability] = format_one_line(" ".join(filter(None, what)))

    def show_postponed(self, state: SweepState, number: int, reason: str) -> None:
        """Write a line above the table."""
        self._log(f"{describe_cell(state.cells[number].request)}: {reason}")

    def show_failed(self, state: SweepState, cell: FailedCell) -> None:
        """Write a line above the table."""
        self._log(f"{describe_cell(state.cells[cell.number].request)}: failed: {cell.sentence}")

    def refresh(self, state: SweepState) -> None:
        """Draw the table anew."""
        elapsed = format_duration(time.monotonic() - self._began)
        head = Text(f"{self.title}: {describe_progress(state)}, {elapsed} so far")
        self._live.update(Group(head, *self._draw_running(state), *self._draw_boards()))

    def _log(self, line: str) -> None:
        self._live.console.print(Text(format_one_line(line)))

    def _draw_running(self, state: SweepState) -> list[Text]:
        now = time.monotonic()
        lines = [
            Text(f"  {format_one_line(describe_cell(state.cells[number].request))} ({format_duration(now - began)})")
            for number, began in list(state.running.items())[:_MAX_RUNNING]
        ]
        if len(state.running) > _MAX_RUNNING:
            lines.append(Text(f"  and {len(state.running) - _MAX_RUNNING} more"))
        return lines

    def _draw_boards(self) -> list[Table]:
        if not self._values:
            return []
        backbones = sorted({name for row in self._values.values() for name in row})
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("mean over the seeds done")
        for name in backbones[:_MAX_BACKBONES]:
            table.add_column(Text(format_one_line(name)), justify="right")
        # the boards that changed last are at the end of the dictionary only if they are new, so all are sorted by name
        for board in sorted(self._values, key=self._names.__getitem__)[:_MAX_BOARDS]:
            cells = [self._format_mean(self._values[board].get(name, [])) for name in backbones[:_MAX_BACKBONES]]
            table.add_row(Text(self._names[board]), *cells)
        left_out = len(self._values) - _MAX_BOARDS, len(backbones) - _MAX_BACKBONES
        if max(left_out) > 0:
            table.caption = f"not shown: {max(0, left_out[0])} boards, {max(0, left_out[1])} backbones"
        return [table]

    def _format_mean(self, values: list[float]) -> Text:
        if not values:
            return Text("")
        return Text(f"{fmean(values):.2f}" + (f" ({len(values)})" if len(values) > 1 else ""))
