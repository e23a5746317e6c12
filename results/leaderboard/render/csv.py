"""A report as CSV in full precision: one line a row of a board and metric; an empty cell means not measured."""

from __future__ import annotations

import csv
import io

from results.leaderboard.report import Report
from results.leaderboard.table import Board, Row

COLUMNS = (
    *("task", "protocol", "tier", "settings", "key", "rank", "tied_with", "backbone", "init", "weights"),
    *("made_by", "floor"),
    *("metric", "unit", "value", "primary", "ci_low", "ci_high", "ci_over", "reported", "difference", "tolerance"),
    *("within", "source", "seeds", "seed_min", "seed_max", "n", "parameters", "macs", "latency_ms"),
    *("images_per_second", "batch", "measured_on", "finished", "run_ids"),
)


def to_csv(report: Report) -> str:
    """The boards of a report."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for board in report.table.boards:
        for row in board.rows:
            writer.writerows(_line(board, row, name) for name in row.metrics)
    return out.getvalue()


def _line(board: Board, row: Row, metric: str) -> dict[str, object]:
    """The csv module writes ``None`` as an empty cell."""
    line: dict[str, object] = {
        "task": board.task,
        "protocol": board.protocol,
        "tier": board.tier,
        "settings": board.settings,
        "key": board.key,
        "backbone": row.backbone,
        "init": row.init,
        "weights": row.weights,
        "made_by": row.made_by,
        "floor": int(row.floor),
        "metric": metric,
        "unit": board.units[metric],
        "value": row.metrics[metric],
        "primary": int(metric == board.primary),
        "seeds": " ".join(map(str, row.seeds)),
        "n": row.n,
        "parameters": row.cost.parameters,
        "macs": row.cost.macs,
        "latency_ms": row.cost.latency_ms,
        "images_per_second": row.cost.images_per_second,
        "batch": row.cost.batch,
        "measured_on": row.cost.where,
        "finished": row.finished,
        "run_ids": " ".join(row.run_ids),
    }
    if metric != board.primary:
        return line
    line |= {"rank": row.rank, "tied_with": "; ".join(row.tied_with)}
    if row.interval:
        line |= {"ci_low": row.interval.low, "ci_high": row.interval.high, "ci_over": row.interval.over}
    if row.spread:
        line |= {"seed_min": row.spread[0], "seed_max": row.spread[1]}
    if row.reported and row.reported.published.tolerance:
        printed = row.reported.published
        line |= {
            "reported": printed.value,
            "difference": row.reported.difference,
            "tolerance": row.reported.published.tolerance.value,
            "within": int(row.reported.within),
            "source": printed.read,
        }
    return line
