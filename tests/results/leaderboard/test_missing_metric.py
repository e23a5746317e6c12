"""A task that gains a metric: older runs beside newer ones have a gap in the board, and nothing fails."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from results.leaderboard.page.write import write_page
from results.leaderboard.render.csv import to_csv
from results.leaderboard.render.json import to_json_data
from results.leaderboard.render.latex import to_latex
from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.report import LeaderboardReport, build_report
from results.records.record import Record
from tests.results.make import make_backbone_record, make_scan


def without_second_metric(record: Record) -> Record:
    assert record.result is not None
    metrics = {name: value for name, value in record.result.metrics.items() if name == record.result.primary_metric}
    return record.model_copy(update={"result": record.result.model_copy(update={"metrics": metrics})})


def make_report(order: int) -> LeaderboardReport:
    """Backbone ``new`` has both metrics, ``old`` one, and of the two seeds of ``mixed`` only one has both."""
    records = [
        make_backbone_record("new", 90.0, "1"),
        without_second_metric(make_backbone_record("old", 80.0, "2")),
        make_backbone_record("mixed", 70.0, "3"),
        without_second_metric(make_backbone_record("mixed", 72.0, "4", seed=1)),
    ]
    return build_report(make_scan(*records[::order]))


@pytest.mark.parametrize("order", [1, -1], ids=["the newest first", "an old one first"])
def test_every_form_of_the_board_has_the_gap(order: int, tmp_path: Path) -> None:
    report = make_report(order)
    (board,) = report.table.boards
    metrics = {row.backbone: set(row.metrics) for row in board.rows}
    assert metrics == {"new": {"top1", "mean_per_class"}, "old": {"top1"}, "mixed": {"top1"}}
    assert to_markdown(report).count("not measured") >= 2
    assert to_latex(report) and to_json_data(report)
    cells = {(row["backbone"], row["metric"]): row["value"] for row in csv.DictReader(io.StringIO(to_csv(report)))}
    assert ("old", "mean_per_class") not in cells and float(cells["new", "mean_per_class"]) > 0
    assert float(cells["mixed", "top1"]) == 71.0, "the mean of the metric that both seeds have"
    assert "not measured" in write_page(report, tmp_path).read_text()
