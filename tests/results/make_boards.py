"""Boards made up for tests, from scores and ranks."""

from __future__ import annotations

from collections.abc import Mapping

from results.leaderboard.table import Board, BoardRow, build_table
from results.records.record import Record
from results.statistics.ranking import ONE_SEED_NOTE
from tests.results.make import make_record, make_scan

(_BOARD,) = build_table(make_scan(make_record(50.0)), published=()).boards


def make_board(
    task: str,
    scores: Mapping[str, float],
    ranks: Mapping[str, int] | None = None,
    protocol: str = "finetune",
    *,
    higher_is_better: bool = True,
    notes: Mapping[str, str] | None = None,
) -> Board:
    """A board with a row per backbone. A row without a rank has one seed, unless ``notes`` says something else."""

    def build_row(name: str) -> BoardRow:
        rank = (ranks or {}).get(name)
        note = (notes or {}).get(name, "" if rank else ONE_SEED_NOTE)
        return _BOARD.rows[0]._replace(backbone=name, rank=rank, note=note, metrics={"top1": scores[name]})

    ordered = sorted(scores, key=scores.__getitem__, reverse=higher_is_better)
    return _BOARD._replace(
        task=task,
        protocol=protocol,
        comparability=f"{task} {protocol}",
        units={"top1": "%"},
        higher_is_better=higher_is_better,
        rows=tuple(build_row(name) for name in ordered),
    )


def make_metric_board(metrics: Mapping[str, Mapping[str, float]], lower_is_better: tuple[str, ...] = ()) -> Board:
    """A board with several metrics, of which ``top1`` is the primary one.

    Args:
        metrics: value by metric and backbone.
        lower_is_better: the metrics of which a lower value is better.
    """
    board = make_board("digits", metrics["top1"], higher_is_better="top1" not in lower_is_better)
    content = make_record(50.0).model_dump()
    values = content["result"]["metrics"]
    content["result"]["metrics"] = {
        name: values["top1"] | {"higher_is_better": name not in lower_is_better} for name in metrics
    }
    run = (board.rows[0].runs[0][0], Record.model_validate(content))
    rows = [
        row._replace(
            metrics={name: found[row.backbone] for name, found in metrics.items() if row.backbone in found}, runs=(run,)
        )
        for row in board.rows
    ]
    return board._replace(rows=tuple(rows), units=dict.fromkeys(metrics, "%"))
