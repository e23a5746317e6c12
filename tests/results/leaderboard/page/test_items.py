"""Items, comparisons and confusions of a page against independent computations."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from results.leaderboard.page import comparisons, items
from results.leaderboard.page.data import build_page_data
from results.leaderboard.page.items import ALPHABET, count_confusions, pack_counts
from results.leaderboard.page.media import PageMedia
from results.leaderboard.report import build_report
from results.records.store import scan_runs
from results.statistics.comparison import compare_backbones
from results.statistics.item_files import ItemTable
from results.statistics.metric_statistics import MetricStatistic
from tests.results.make import write_run, write_table_run


def page_data(root: Path) -> dict[str, Any]:
    return build_page_data(build_report(scan_runs([root])), PageMedia(embed=False))


@pytest.mark.parametrize("bits", [1, 2, 3, 6])
def test_packed_counts_can_be_unpacked(bits: int) -> None:
    counts = [random.Random(bits).randrange(2**bits) for _ in range(101)]
    per, packed = 6 // bits, pack_counts(counts, bits)
    assert len(packed) == -(-101 // per)
    back = [(ALPHABET.index(packed[i // per]) >> (bits * (i % per))) & (2**bits - 1) for i in range(101)]
    assert back == counts


def test_pairs_are_those_of_bench_compare(tmp_path: Path) -> None:
    rng = random.Random(0)
    for name, share in (("a", 0.9), ("b", 0.6), ("c", 0.7)):
        for seed in range(2):
            correct = [rng.random() < share for _ in range(60)]
            write_run(tmp_path / f"{name}{seed}", name, correct, f"{name}{seed}", seed=seed)
    report = build_report(scan_runs([tmp_path]))
    (board,) = report.table.boards
    for _ in range(2):  # computed, and from the cache
        found = build_page_data(report, PageMedia(embed=False))
        assert len(found["boards"][0]["pairs"]) == 3
        for one, other, *numbers in found["boards"][0]["pairs"]:
            pair = compare_backbones(board.rows[one].runs, board.rows[other].runs)
            assert numbers[:4] == pytest.approx([pair.difference, pair.low, pair.high, pair.p_value], rel=1e-9)
            words = [found["pair_words"][index] for index in numbers[4:6]]
            assert words == [pair.test_name, pair.resampling_unit]
            assert numbers[6:] == [len(pair.better), len(pair.worse), 60, 1]


def test_a_board_with_many_rows_leaves_the_pairs_to_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write_run(tmp_path / name, name, [True, False], name)
    assert len(page_data(tmp_path)["boards"][0]["pairs"]) == 3
    monkeypatch.setattr(comparisons, "MAX_COMPARED_ROWS", 2)
    assert page_data(tmp_path)["boards"][0]["pairs"] is None
    monkeypatch.setattr(comparisons, "MAX_COMPARED_ROWS", 3)
    monkeypatch.setattr(comparisons, "MAX_PAIRS", 2)
    assert page_data(tmp_path)["boards"][0]["pairs"] is None, "so does a page with many pairs"


def test_items_of_more_rows_than_the_limit_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate("abc"):
        write_run(tmp_path / name, name, [i > number for i in range(10)], name)
    monkeypatch.setattr(items, "MAX_ROWS_WITH_ITEMS", 2)
    rows = page_data(tmp_path)["boards"][0]["rows"]
    assert ["outcomes" in row for row in rows] == [True, True, False], "the best rows come first"


def test_a_changed_file_costs_its_row_the_items(tmp_path: Path) -> None:
    for name in "ab":
        write_run(tmp_path / name, name, [True, False, name == "a"], name)
    (tmp_path / "a" / "items.csv").write_text("item,label\n")
    rows = {row["label"]: row for row in page_data(tmp_path)["boards"][0]["rows"]}
    assert "outcomes" not in rows["a (random)"] and "outcomes" in rows["b (random)"]


def test_values_of_items_keep_four_digits_and_names(tmp_path: Path) -> None:
    values = {"x": [12.34567, 80.0], "y": [99.5, 0.25]}
    for name, column in values.items():
        mean = MetricStatistic("mean", ("score",))
        columns = {"sequence": ["car-1", "car-2"], "score": column}
        write_table_run(tmp_path / name, name, columns, {"score": (sum(column) / 2, mean)})
    (board,) = page_data(tmp_path)["boards"]
    assert board["item_names"] == ["car-1", "car-2"]
    assert {tuple(row["outcomes"]["values"]) for row in board["rows"]} == {(12.35, 80.0), (99.5, 0.25)}
    worst = {row["label"]: row["extremes"]["worst"][0] for row in board["rows"]}
    assert [cells[0] for cells in worst.values()] in (["car-2", "car-1"], ["car-1", "car-2"])


def test_the_worst_items_are_those_with_the_lowest_score(tmp_path: Path) -> None:
    """As the pictures of a segmentation choose them: what an image contributes to a score over all is not displayed."""
    statistic = MetricStatistic("mean", ("share",))
    names = ["1403636579.763555584", "1403636579.813555456", "1403636579.863555584"]
    columns = {"name": names, "share": [10.0, 50.0, 90.0], "mIoU": [40.0, 5.5, 20.25]}
    write_table_run(tmp_path / "x", "x", columns, {"mIoU": (50.0, statistic)})
    (row,) = page_data(tmp_path)["boards"][0]["rows"]
    assert [cells[2] for cells in row["extremes"]["worst"]] == ["5.5", "20.25", "40.0"]
    assert [cells[2] for cells in row["extremes"]["best"]] == ["40.0", "20.25", "5.5"]
    assert {cells[0] for cells in row["extremes"]["worst"]} == set(names), "a name that is a number stays whole"


def test_the_name_of_an_item_is_shown_wherever_its_column_stands(tmp_path: Path) -> None:
    columns = {f"c{place}": [1, 2] for place in range(9)} | {"score": [10.0, 20.0], "item": ["x", "y"]}
    write_table_run(tmp_path / "x", "x", columns, {"score": (15.0, MetricStatistic("mean", ("score",)))})
    (row,) = page_data(tmp_path)["boards"][0]["rows"]
    assert row["extremes"]["columns"][-1] == "item" and row["extremes"]["worst"][0][-1] == "x"


def test_confusions_are_counted_over_all_seeds() -> None:
    tables = [
        ItemTable(Path("a"), "", {"label": ("0", "1", "10"), "prediction": ("0", "10", "10")}),
        ItemTable(Path("b"), "", {"label": ("0", "1", "10"), "prediction": ("0", "10", "1")}),
    ]
    assert count_confusions(tables) == {
        "classes": ["0", "1", "10"],
        "counts": [[0, 0, 2], [1, 2, 2], [2, 1, 1], [2, 2, 1]],
    }
    many = tuple(map(str, range(101)))
    wrong = (*many[:-1], "0")
    found = count_confusions([ItemTable(Path("a"), "", {"label": many, "prediction": wrong})])
    assert found is not None and found["hardest"][0] == ("100", 0, 1) and len(found["hardest"]) == 20
    assert count_confusions([ItemTable(Path("a"), "", {"sequence": many})]) is None
