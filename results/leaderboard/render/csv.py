"""A report as CSV in full precision: one line per row of a board and metric. An empty cell means not measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from foundation.display_text import format_one_line
from results.leaderboard.report import LeaderboardReport
from results.leaderboard.table import Board, BoardRow

# scripts of users read these names, so they stay even where the fields of the code have other names
CSV_COLUMNS = (
    *("task", "protocol", "tier", "settings", "key", "rank", "tied_with", "backbone", "init", "weights"),
    *("made_by", "floor"),
    *("metric", "unit", "value", "primary", "ci_low", "ci_high", "ci_over", "reported", "difference", "tolerance"),
    *("within", "source", "seeds", "seed_min", "seed_max", "n", "parameters", "macs", "latency_ms"),
    *("images_per_second", "batch", "measured_on", "timed_at", "busy", "throughput_busy", "finished", "run_ids"),
    *("departures", "weights_key", "label", "variant"),
)

# the wide forms of these signs are formulas in spreadsheets of East Asian locales
_FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def to_csv(report: LeaderboardReport) -> str:
    """Return the boards of a report as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: guard_cell(value) for name, value in line.items()} for line in iter_board_lines(report))
    return out.getvalue()


def iter_board_lines(report: LeaderboardReport) -> Iterator[dict[str, object]]:
    """Yield a line per row of a board and metric, by ``CSV_COLUMNS``; what was not measured is ``None`` or missing."""
    for board in report.table.boards:
        for row in board.rows:
            yield from (_build_csv_row(board, row, name) for name in row.metrics)


def guard_cell(value: object) -> object:
    """Return a value for a CSV cell; text that a spreadsheet would take for a formula gets an apostrophe in front.

    Numbers stay numbers, negative ones too. The apostrophe is the convention of OWASP ("CSV Injection"): spreadsheets
    display such a cell as text.

    >>> guard_cell("=1+1"), guard_cell("vit_nano"), guard_cell(-0.2)
    ("'=1+1", 'vit_nano', -0.2)
    """
    if not isinstance(value, str):
        return value
    text = format_one_line(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA_STARTS) else text


def _build_csv_row(board: Board, row: BoardRow, metric: str) -> dict[str, object]:
    """Return the cells of one line; the csv module writes ``None`` as an empty cell."""
    line: dict[str, object] = {
        "task": board.task,
        "protocol": board.protocol,
        "tier": board.tier,
        "settings": board.settings,
        "key": board.comparability,
        "backbone": row.backbone,
        "init": row.init,
        "weights": row.weights_digest,
        "made_by": row.pretrain_method,
        "floor": int(row.is_random_baseline),
        "metric": metric,
        "unit": board.units[metric],
        "value": row.metrics[metric],
        "primary": int(metric == board.primary_metric),
        "seeds": " ".join(map(str, row.seeds)),
        "n": row.num_items,
        "parameters": row.cost.parameters,
        "macs": row.cost.macs,
        "latency_ms": row.cost.latency_ms,
        "images_per_second": row.cost.images_per_second,
        "batch": row.cost.batch_size,
        "measured_on": row.cost.timing_setup,
        "timed_at": row.cost.timed_at,
        "busy": int(row.cost.is_busy),
        "throughput_busy": int(row.cost.is_throughput_busy),
        "finished": row.finished_at,
        "run_ids": " ".join(row.run_ids),
        "departures": "; ".join(board.departures),
        "weights_key": row.weights_key,
        "label": row.given_label,
        "variant": row.variant,
    }
    # rank, interval and published number exist only for the primary metric
    if metric != board.primary_metric:
        return line
    line |= {"rank": row.rank, "tied_with": "; ".join(row.tied_with)}
    if row.interval:
        line |= {"ci_low": row.interval.low, "ci_high": row.interval.high, "ci_over": row.interval.resampling_unit}
    if row.seed_range:
        line |= {"seed_min": row.seed_range[0], "seed_max": row.seed_range[1]}
    if row.published_comparison and row.published_comparison.published.tolerance:
        printed = row.published_comparison.published
        line |= {
            "reported": printed.value,
            "difference": row.published_comparison.difference,
            "tolerance": row.published_comparison.published.tolerance.value,
            "within": int(row.published_comparison.is_within_tolerance),
            "source": printed.citation,
        }
    return line
