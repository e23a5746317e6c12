"""A metric that is a function of a plug-in: looked up, kept, ranked, compared; and shown without it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.cli.results.compare import format_comparison
from foundation.errors import RecordError, UserError
from foundation.registry import Registry
from results.records.verification import verify_record
from results.statistics import statistic_functions, statistics_cache
from results.statistics.comparison import compare_backbones
from results.statistics.metric_statistics import MetricStatistic
from results.statistics.per_item_outcomes import build_sample, read_item_outcomes
from results.statistics.ranking import StoredRun, rank_rows
from results.statistics.statistic_functions import MissingFunctionError, StatisticFunction, describe_statistic_function
from tests.results.make import write_table_run

CODE = """
import numpy as np

calls = []


def correlation(columns):
    calls.append(len(columns["y"]))
    return float(np.corrcoef(columns["x"], columns["y"])[0, 1])


def fails(columns):
    raise KeyError("nothing")


def endless(columns):
    return float("inf")


def words(columns):
    return float(sum(len(cell.split()) for cell in columns["scores"]))


number = 3
"""
R = MetricStatistic("function", ("x", "y"), "correlation")
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes the functions known as ``their_statistics`` of some version; to begin with none is."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "their_statistics.py").write_text(CODE)

    def install_version(version: str) -> None:
        monkeypatch.delitem(sys.modules, "their_statistics", raising=False)
        registry: Registry[StatisticFunction] = Registry(
            "statistic", "bench.no_such_group", statistic_functions._require_callable
        )
        names = ("correlation", "fails", "endless", "words", "number", "nowhere") if version else ()
        for name in names:
            registry.register(name, f"their_statistics:{name}", f"theirs {version}")
        monkeypatch.setattr(statistic_functions, "STATISTIC_FUNCTIONS", registry)

    install_version("")
    return install_version


def list_calls() -> list[int]:
    calls: list[int] = sys.modules["their_statistics"].calls
    return calls


def write_run(folder: Path, name: str, noise: float, seed: int = 0, count: int = 300) -> StoredRun:
    """Predictions y of x, which is the same for all; the noise is partly that of the item."""
    items = np.random.default_rng(0)
    x, hard = items.normal(size=count), items.normal(size=count)
    y = x + noise * (hard + np.random.default_rng([seed, *name.encode()]).normal(size=count))
    columns: dict[str, NDArray[np.float64] | Sequence[object]] = {"item": range(count), "x": x, "y": y}
    r = float(np.corrcoef(x, y)[0, 1])
    return write_table_run(folder, name, {key: list(cells) for key, cells in columns.items()}, {"r": (r, R)}, seed=seed)


def test_it_is_ranked_as_any_other_metric(install: Install, tmp_path: Path) -> None:
    install("1.0")
    rows = [
        [write_run(tmp_path / f"{name}{seed}", name, noise, seed) for seed in range(seeds)]
        for name, noise, seeds in (("a", 0.5, 3), ("b", 0.505, 3), ("c", 1.0, 3), ("d", 0.5, 1))
    ]
    first, other, worse, one = rank_rows(rows, "r", True)
    assert (first.rank, other.rank, worse.rank, one.rank) == (1, 1, 3, None)
    assert first.interval is not None
    assert first.interval.resampling_unit == "seeds x items"
    assert one.interval is not None
    assert one.interval.method == "Student's t, 50 groups of items left out in turn"
    assert one.interval.resampling_unit == "items only"
    result = rows[3][0][1].result
    assert result is not None
    assert one.interval.low < result.metrics["r"].value < one.interval.high


def test_absent_it_is_shown_and_not_ranked(install: Install, tmp_path: Path) -> None:
    board = [
        [write_run(tmp_path / f"{name}{seed}", name, noise, seed) for seed in range(3)]
        for name, noise in (("a", 0.5), ("b", 1.0))
    ]
    assert [each.rank for each in rank_rows(board, "r", True)] == [None, None]
    assert "the metric's function 'correlation' is not installed; install the package" in (
        rank_rows(board, "r", True)[0].note
    )
    with pytest.raises(MissingFunctionError, match="is not installed"):
        read_item_outcomes(*board[0][0], "r")
    install("1.0")
    assert [each.rank for each in rank_rows(board, "r", True)] == [1, 2], "what was kept does not outlive the absence"
    install("")
    assert [each.rank for each in rank_rows(board, "r", True)] == [None, None], "nor its presence"


def test_verify_recomputes_it_and_says_unchecked_without_it(install: Install, tmp_path: Path) -> None:
    folder, record = write_run(tmp_path / "run", "a", 0.5)

    def states(folder: Path) -> dict[str, str]:
        return {check.subject: check.state for check in verify_record(folder, record)}

    assert states(folder)["r"] == "unchecked"
    install("1.0")
    assert states(folder)["r"] == "holds"
    assert list_calls() == [300], "the whole table, and no group is left out for it"
    result = record.result
    assert result is not None
    edited = result.model_copy(update={"metrics": {"r": result.metrics["r"].model_copy(update={"value": 0.99})}})
    changed = [
        check for check in verify_record(folder, record.model_copy(update={"result": edited})) if check.subject == "r"
    ]
    assert [check.state for check in changed] == ["fails"]
    assert "the record says r 0.99, its items give" in changed[0].message
    path = folder / "items.csv"
    path.write_text(path.read_text().replace("0,", "0,0.", 1))
    assert states(folder)["r"] == states(folder)["per-item files"] == "fails"


def test_what_was_left_out_is_kept_until_the_function_changes(install: Install, tmp_path: Path) -> None:
    install("1.0")
    outcomes = read_item_outcomes(*write_run(tmp_path / "run", "a", 0.5), "r")
    first = build_sample([outcomes])
    assert sorted(set(list_calls())) == [294, 300]
    assert len(list_calls()) == 51
    again = build_sample([outcomes])
    assert len(list_calls()) == 51
    assert [array.tolist() for array in again[:3]] == [array.tolist() for array in first[:3]], "to the last digit"
    assert read_item_outcomes(*write_run(tmp_path / "two", "a", 0.5), "r").rows is not None
    assert len(list_calls()) == 52, "the metric itself is always computed"

    described = describe_statistic_function("correlation")
    assert (described["name"], described["origin"]) == ("correlation", "theirs 1.0")
    install("2.0")
    build_sample([outcomes])
    assert len(list_calls()) == 50, "another version"
    path = tmp_path / "their_statistics.py"
    path.write_text(CODE + "# edited in place\n")
    install("2.0")
    assert describe_statistic_function("correlation")["source"] != described["source"]
    build_sample([outcomes])
    assert len(list_calls()) == 50, "the same version, other code"
    for entry in statistics_cache.statistics_cache_dir().iterdir():
        entry.write_text("[[1.0]]")
    damaged = build_sample([outcomes])
    assert damaged.item_values.tolist() == first.item_values.tolist()


def test_few_items_are_left_out_one_by_one_and_follow_the_order_asked_for(install: Install, tmp_path: Path) -> None:
    install("1.0")
    outcomes = read_item_outcomes(*write_run(tmp_path / "run", "a", 0.5, count=20), "r")
    plain, turned = build_sample([outcomes]), build_sample([outcomes], outcomes.item_ids[::-1])
    assert plain.item_values.shape == (1, 20)
    assert turned.item_values[0].tolist() == plain.item_values[0, ::-1].tolist()


def test_a_function_of_draws_is_one_value_a_draw(install: Install, tmp_path: Path) -> None:
    install("1.0")
    rng = np.random.default_rng(0)
    x = np.tile(rng.normal(size=30), 3)
    y = x + rng.normal(size=90)
    each = [float(np.corrcoef(x[30 * draw :][:30], y[30 * draw :][:30])[0, 1]) for draw in range(3)]
    columns = {"draw": np.repeat(range(3), 30), "item": np.tile(range(30), 3), "x": x, "y": y}
    run = write_table_run(
        tmp_path / "run",
        "a",
        {name: cells.tolist() for name, cells in columns.items()},
        {"r": (float(np.mean(each)), R)},
    )
    outcomes = read_item_outcomes(*run, "r")
    sample = build_sample([outcomes])
    assert sample.seed_estimates == pytest.approx(each)
    assert sample.item_values.shape == (3, 30)
    both = build_sample([outcomes, outcomes])
    assert both.seed_estimates == pytest.approx([np.mean(each)] * 2)


def test_text_columns_arrive_as_text(install: Install, tmp_path: Path) -> None:
    install("1.0")
    statistic = MetricStatistic("function", (), "words", ("scores",))
    run = write_table_run(
        tmp_path / "run", "a", {"item": range(3), "scores": ["0.9 0.1", "0.5", "1 2 3"]}, {"n": (6.0, statistic)}
    )
    outcomes = read_item_outcomes(*run, "n")
    assert build_sample([outcomes]).item_values.tolist() == [[3 * 6 - 2 * (6 - words) for words in (2.0, 1.0, 3.0)]]


@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("fails", "the function 'fails' of theirs 1.0 fails on 300 rows: KeyError: 'nothing'"),
        ("endless", "gives inf, which is not a finite number"),
        ("number", "a statistic is a function, not int"),
        ("nowhere", "AttributeError"),
    ],
)
def test_a_function_that_is_no_use_takes_its_row_off_the_ranks(
    install: Install, tmp_path: Path, function: str, what: str
) -> None:
    install("1.0")
    folder, record = write_run(tmp_path / "run", "a", 0.5)
    columns = {"item": list(range(300)), "x": [1.0] * 300, "y": [2.0] * 300}
    statistic = MetricStatistic("function", ("x", "y"), function)
    run = write_table_run(tmp_path / "other", "a", columns, {"r": (0.5, statistic)})
    with pytest.raises(RecordError, match=what):
        read_item_outcomes(*run, "r")
    (only,) = rank_rows([[run]], "r", True)
    assert only.rank is None
    assert "theirs 1.0" in only.note
    assert folder.exists() and record.result is not None


def test_rows_whose_metric_follows_in_another_way_are_not_paired(install: Install, tmp_path: Path) -> None:
    """A plug-in's new version may declare a metric anew; groups of items cannot be paired with items."""
    install("1.0")
    board = [[write_run(tmp_path / f"{name}{seed}", name, 0.5, seed) for seed in (0, 1)] for name in "ab"]
    mean, cells = MetricStatistic("mean", ("x",)), {"item": range(300), "x": [0.5] * 300}
    other, again = (
        write_table_run(tmp_path / f"c{seed}", "c", cells, {"r": (0.5, mean)}, seed=seed) for seed in (0, 1)
    )
    standings = rank_rows([*board, [other, again]], "r", True)
    assert [each.rank for each in standings] == [1, 1, None]
    assert standings[2].note == "its metric is computed from the items differently than on the rest of the board"
    with pytest.raises(UserError, match="r is computed from the items differently in each of the two"):
        compare_backbones(board[0], [other])
    seeds = rank_rows([[board[0][0], other]], "r", True)
    assert "differently in some of the runs" in seeds[0].note


def test_two_backbones_are_compared_without_a_number_an_item(install: Install, tmp_path: Path) -> None:
    install("1.0")
    pair = [[write_run(tmp_path / name, name, noise)] for name, noise in (("a", 0.5), ("b", 0.8))]
    found = compare_backbones(*pair)
    assert (found.num_groups, found.num_items, found.better, found.worse) == (50, 300, (), ())
    assert found.test_name == "sign flips by group of items"
    assert found.low < found.difference < found.high
    assert found.p_value < 0.05
    lines = "\n".join(format_comparison(found, None))
    assert (
        "r is computed from all 300 items together, so single items have no value; "
        "50 groups of items were left out in turn" in lines
    )
    assert "alike" not in lines
    few = compare_backbones(*([write_run(tmp_path / f"few {name}", name, 0.5, count=40)] for name in ("a", "b")))
    assert few.num_groups is None
