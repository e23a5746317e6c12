from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from results.record import Record
from results.store import Found
from results.table import Table, build_table, to_csv, to_markdown
from tests.results.make import record


def table(*records: Record) -> Table:
    return build_table(Found([(Path(f"runs/{i}"), each) for i, each in enumerate(records)], []))


def cell(name: str, value: float, run: str, **changes: Any) -> Record:
    return record(value, run_id=run, backbone={"name": name}, **changes)


def test_only_one_comparability_key_shares_a_board() -> None:
    boards = table(cell("a", 90.0, "1"), cell("b", 95.0, "2"), cell("c", 99.0, "3", comparability="other")).boards
    assert [[row.backbone for row in board.rows] for board in sorted(boards, key=lambda b: -len(b.rows))] == [
        ["b", "a"],
        ["c"],
    ]


def test_tiers_never_mix() -> None:
    assert len(table(cell("a", 90.0, "1"), cell("b", 95.0, "2", tier="smoke")).boards) == 2


def test_a_pre_training_is_on_no_board() -> None:
    found = table(cell("a", 90.0, "1"), cell("b", 0.5, "2", domain="pretraining", task="pretrain"))
    assert [board.task for board in found.boards] == ["digits"]
    assert not found.unranked


def test_direction_is_the_metrics_own() -> None:
    lower = record().model_dump()
    lower["result"]["metrics"]["top1"]["higher_is_better"] = False
    first, second = (lower | {"run_id": run} for run in ("1", "2"))
    low = Record.model_validate(first | {"backbone": first["backbone"] | {"name": "low"}})
    second = Record.model_validate(second).model_dump()
    second["result"]["metrics"]["top1"]["value"] = 99.0
    assert [row.backbone for row in table(low, Record.model_validate(second)).boards[0].rows] == ["low", "vit_nano"]


def test_seeds_are_one_row_with_mean_and_range() -> None:
    (board,) = table(cell("a", 90.0, "1", seed=1), cell("a", 94.0, "2", seed=0)).boards
    (row,) = board.rows
    assert row.metrics["top1"] == 92.0
    assert row.seeds == (0, 1)
    assert row.spread == (90.0, 94.0)
    assert row.interval is None, "the interval of one seed is not that of the mean"


def test_a_card_that_was_changed_is_never_averaged_with_the_old_one() -> None:
    changed = record().backbone.card | {"mean": [0.4, 0.4, 0.4]}
    (board,) = table(record(90.0, run_id="1"), record(94.0, run_id="2", backbone={"card": changed})).boards
    assert sorted(row.metrics["top1"] for row in board.rows) == [90.0, 94.0]
    retold = record().backbone.card | {"summary": "another text"}
    (board,) = table(record(90.0, run_id="1"), record(94.0, run_id="2", seed=1, backbone={"card": retold})).boards
    assert [row.seeds for row in board.rows] == [(0, 1)]


def test_partial_weights_are_a_row_of_their_own() -> None:
    partial = record(99.0, run_id="2", backbone={"allow_partial": True})
    (board,) = table(record(), partial).boards
    assert [row.init for row in board.rows] == ["partial random", "random"]


def test_unfinished_and_failed_are_listed_never_ranked() -> None:
    result = table(cell("a", 90.0, "1"), record(run_id="2", status="failed", reason="disk full"))
    assert len(result.boards[0].rows) == 1
    assert "failed, 0 of 359 items scored: disk full" in result.unranked[0]
    assert "disk full" in to_markdown(result)


def test_attempts_at_one_run_that_disagree_are_named() -> None:
    result = table(
        cell("a", 90.0, "1", started="2026-01-01T00:00:00+00:00"),
        cell("a", 91.0, "1", started="2026-01-02T00:00:00+00:00"),
    )
    assert result.boards[0].rows[0].metrics["top1"] == 91.0
    assert "disagree (90, 91)" in result.warnings[0]
    same = table(cell("a", 90.0, "1"), cell("a", 90.0, "1"))
    assert len(same.boards[0].rows) == 1
    assert not same.warnings


def test_faults_of_the_scan_become_warnings() -> None:
    assert build_table(Found([], ["x.json is not a record"])).warnings == ("x.json is not a record",)


def test_csv_has_full_precision_and_empty_for_not_measured() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(table(record(backbone={"parameters": None}))))))
    primary = next(row for row in rows if row["metric"] == "top1")
    assert float(primary["value"]) == 97.7715877437326
    assert primary["parameters"] == ""
    assert primary["seed_min"] == ""
    other = next(row for row in rows if row["metric"] == "mean_per_class")
    assert other["ci_low"] == "", "no interval was measured for it"


def test_markdown_is_aligned_and_says_what_is_not_measured() -> None:
    text = to_markdown(table(record(backbone={"parameters": None}), cell("b", 50.0, "2")))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert "not measured" in text
    assert text.index("vit_nano") < text.index("| b ")


def test_no_runs() -> None:
    assert to_markdown(table()) == "No runs found.\n"


def test_a_row_of_one_seed_carries_its_interval() -> None:
    (row,) = table(record()).boards[0].rows
    assert row.interval is not None
    assert (row.interval.low, row.interval.high) == pytest.approx((95.66504798232398, 98.86659708238754))
    assert row.spread is None


def test_the_heading_says_where_boards_of_one_protocol_differ() -> None:
    base = record().config["recipe"] | {"shots": 1, "percent": None}
    cells = [
        cell("a", 10.0 * number, str(number), comparability=str(number), config={"recipe": base | change})
        for number, change in enumerate([{}, {"shots": 4}, {"shots": None, "percent": 10}])
    ]
    scaled = cell("a", 60.0, "5", comparability="5", config={"recipe": base, "data_scale": 0.1})
    boards = table(*cells, scaled).boards
    assert [board.settings for board in boards] == ["shots=1", "shots=4", "percent=10", "data_scale=0.1, shots=1"]
    text = to_markdown(table(*cells))
    assert "## digits · finetune · full · shots=4\n" in text
    assert table(cells[0]).boards[0].settings == "", "alone it has nothing to differ from"
    rows = csv.DictReader(io.StringIO(to_csv(table(*cells))))
    assert {row["settings"] for row in rows} == {"shots=1", "shots=4", "percent=10"}


def test_the_interval_says_what_it_is_over() -> None:
    content = record().model_dump()
    content["result"]["metrics"]["top1"]["interval"] |= {"over": "draws", "level": 0.9}
    assert "(90 %, draws only)" in to_markdown(table(Record.model_validate(content)))
