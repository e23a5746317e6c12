from __future__ import annotations

from pathlib import Path

import pytest

from results.leaderboard.table import LeaderboardTable, build_table
from results.records.record import Record
from results.records.store import ScanResult, scan_runs
from tests.results.make import make_backbone_record, make_record, make_scan, write_run


def table(*records: Record) -> LeaderboardTable:
    return build_table(make_scan(*records))


def test_only_one_comparability_key_shares_a_board() -> None:
    boards = table(
        make_backbone_record("a", 90.0, "1"),
        make_backbone_record("b", 95.0, "2"),
        make_backbone_record("c", 99.0, "3", comparability="other"),
    ).boards
    assert [[row.backbone for row in board.rows] for board in sorted(boards, key=lambda b: -len(b.rows))] == [
        ["b", "a"],
        ["c"],
    ]


def test_tiers_never_mix() -> None:
    assert (
        len(table(make_backbone_record("a", 90.0, "1"), make_backbone_record("b", 95.0, "2", tier="smoke")).boards) == 2
    )


def test_a_pre_training_is_on_no_board() -> None:
    found = table(
        make_backbone_record("a", 90.0, "1"), make_backbone_record("b", 0.5, "2", domain="pretraining", task="pretrain")
    )
    assert [board.task for board in found.boards] == ["digits"]
    assert not found.unranked


def test_direction_is_the_metrics_own() -> None:
    lower = make_record().model_dump()
    lower["result"]["metrics"]["top1"]["higher_is_better"] = False
    first, second = (lower | {"run_id": run} for run in ("1", "2"))
    low = Record.model_validate(first | {"backbone": first["backbone"] | {"name": "low"}})
    second = Record.model_validate(second).model_dump()
    second["result"]["metrics"]["top1"]["value"] = 99.0
    assert [row.backbone for row in table(low, Record.model_validate(second)).boards[0].rows] == ["low", "vit_nano"]


def test_seeds_are_one_row_with_mean_and_range() -> None:
    (board,) = table(make_backbone_record("a", 90.0, "1", seed=1), make_backbone_record("a", 94.0, "2", seed=0)).boards
    (row,) = board.rows
    assert row.metrics["top1"] == 92.0
    assert row.seeds == (0, 1)
    assert row.seed_range == (90.0, 94.0)
    assert row.interval is not None
    assert row.interval.resampling_unit == "seeds only", "the interval of one seed is not that of the mean"


def test_a_card_that_was_changed_is_never_averaged_with_the_old_one() -> None:
    changed = make_record().backbone.card | {"mean": [0.4, 0.4, 0.4]}
    (board,) = table(make_record(90.0, run_id="1"), make_record(94.0, run_id="2", backbone={"card": changed})).boards
    assert sorted(row.metrics["top1"] for row in board.rows) == [90.0, 94.0]
    retold = make_record().backbone.card | {"summary": "another text"}
    (board,) = table(
        make_record(90.0, run_id="1"), make_record(94.0, run_id="2", seed=1, backbone={"card": retold})
    ).boards
    assert [row.seeds for row in board.rows] == [(0, 1)]


def test_partial_weights_are_a_row_of_their_own() -> None:
    partial = make_record(99.0, run_id="2", backbone={"allow_partial": True})
    (board,) = table(make_record(), partial).boards
    assert [row.init for row in board.rows] == ["partial random", "random"]


def test_weights_of_a_pre_training_are_named_by_its_method() -> None:
    weights = {"init": "checkpoint", "checkpoint": {"uri": "encoder.pth", "sha256": "4f" * 32, "bytes": 1}}
    run = make_backbone_record("a", 90, "1", backbone=weights)
    made = make_record(0.8, task="pretrain", protocol="mae", domain="pretraining", run_id="2").model_dump()
    made["result"]["details"] = {"encoder": {"file": "encoder.pth", "sha256": "4f" * 32}}
    alone, beside = (build_table(make_scan(*records)) for records in ([run], [run, Record.model_validate(made)]))
    assert [row.label for row in alone.boards[0].rows] == ["a (checkpoint 4f4f4f4f)"]
    assert [row.label for row in beside.boards[0].rows] == ["a (mae 4f4f4f4f)"]
    made["result"]["details"]["encoder"]["sha256"] = "5f" * 32
    other = build_table(make_scan(run, Record.model_validate(made)))
    assert [row.start_label for row in other.boards[0].rows] == ["checkpoint 4f4f4f4f"]


def test_unfinished_and_failed_are_listed_never_ranked() -> None:
    result = table(make_backbone_record("a", 90.0, "1"), make_record(run_id="2", status="failed", reason="disk full"))
    assert len(result.boards[0].rows) == 1
    assert str(result.unranked[0]) == "runs/1: failed, 0 of 359 items scored: disk full"


def test_attempts_at_one_run_that_disagree_are_named() -> None:
    result = table(
        make_backbone_record("a", 90.0, "1", started="2026-01-01T00:00:00+00:00"),
        make_backbone_record("a", 91.0, "1", started="2026-01-02T00:00:00+00:00"),
    )
    assert result.boards[0].rows[0].metrics["top1"] == 91.0
    assert result.warnings == (
        "run 1 was completed 2 times with different numbers; 91.0 (runs/1) counts, because it was started last, "
        "and 90.0 (runs/0) is left out",
    )
    unfinished = make_record(run_id="1", status="failed", reason="x", started="2026-01-03T00:00:00+00:00")
    earlier = make_backbone_record("a", 90.0, "1", started="2026-01-01T00:00:00+00:00")
    found = table(earlier, unfinished)
    assert found.boards[0].rows[0].metrics["top1"] == 90.0, "a complete attempt counts, also an older one"
    assert not found.warnings and not found.unranked
    same = table(make_backbone_record("a", 90.0, "1"), make_backbone_record("a", 90.0, "1"))
    assert len(same.boards[0].rows) == 1
    close = table(make_backbone_record("a", 90.0, "1"), make_backbone_record("a", 90.0 + 1e-9, "1"))
    assert "90.000000001 (" in close.warnings[0], "numbers that differ look different"
    assert not same.warnings


def test_faults_of_the_scan_become_warnings() -> None:
    assert build_table(ScanResult([], ["x.json is not a record"])).warnings == ("x.json is not a record",)


def test_a_row_of_one_seed_carries_its_interval() -> None:
    (row,) = table(make_record()).boards[0].rows
    assert row.interval is not None
    assert (row.interval.low, row.interval.high) == pytest.approx((95.66504798232398, 98.86659708238754))
    assert row.seed_range is None


def test_the_heading_says_where_boards_of_one_protocol_differ() -> None:
    base = make_record().config["recipe"] | {"shots": 1, "percent": None}
    cells = [
        make_backbone_record(
            "a", 10.0 * number, str(number), comparability=str(number), config={"recipe": base | change}
        )
        for number, change in enumerate([{}, {"shots": 4}, {"shots": None, "percent": 10}])
    ]
    scaled = make_backbone_record("a", 60.0, "5", comparability="5", config={"recipe": base, "data_scale": 0.1})
    longer = make_backbone_record("a", 60.0, "6", comparability="6", config={"recipe": base | {"epochs": 999}})
    epochs = base["epochs"]
    boards = table(*cells, scaled, longer).boards
    assert [(board.departures, board.settings) for board in boards] == [
        (("shots=1",), f"epochs={epochs}"),
        (("shots=4",), f"epochs={epochs}"),
        (("percent=10",), f"epochs={epochs}"),
        (("10 % of train", "shots=1"), f"epochs={epochs}"),
        (("shots=1",), "epochs=999"),
    ]
    assert table(cells[0]).boards[0].settings == "", "alone it has nothing to differ from"


def test_the_heading_says_which_options_of_the_data_differ() -> None:
    plain = make_backbone_record("a", 90.0, "1")
    records = [plain]
    for run, options in (("2", {"exclude": ["raw", "x.png"], "labels": "a.csv"}), ("3", {"layout": "splits"})):
        data = plain.data.model_copy(update={"options": options})
        record = make_backbone_record("a", 90.0, run, comparability=run)
        records.append(record.model_copy(update={"data": data}))
    headings = sorted(board.settings for board in table(*records).boards)
    assert headings == ["", "data_options.exclude=raw x.png", "data_options.layout=splits"]


def test_rows_that_the_items_do_not_tell_apart_share_a_rank(tmp_path: Path) -> None:
    for number, (name, wrong) in enumerate((("a", 100), ("b", 101), ("c", 160))):
        for seed in (0, 1):
            correct = [i >= wrong + seed for i in range(1000)]
            write_run(tmp_path / f"{name}{seed}", name, correct, f"{number}{seed}", seed=seed)
    write_run(tmp_path / "d", "d", [i >= 50 for i in range(1000)], "30")
    (board,) = build_table(scan_runs([tmp_path])).boards
    assert [(row.backbone, row.rank, row.tied_with) for row in board.rows] == [
        ("d", None, ()),
        ("a", 1, ("b (random)",)),
        ("b", 1, ("a (random)",)),
        ("c", 3, ()),
    ]
    assert board.rows[0].note == "one seed: items only"


def test_the_floor_is_a_row_from_random_weights() -> None:
    (board,) = table(
        make_backbone_record("a", 90.0, "1"), make_backbone_record("b", 95.0, "2", backbone={"init": "card"})
    ).boards
    assert [(row.label, row.is_random_baseline) for row in board.rows] == [("b", False), ("a (random)", True)]
    assert board.has_random_baseline
    assert not table(make_backbone_record("b", 95.0, "2", backbone={"init": "card"})).boards[0].has_random_baseline
