from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binomtest

from benchmarks.cli.results.compare import format_comparison
from foundation.errors import UserError
from results.records.record import Record
from results.statistics.comparison import compare_backbones, group_runs_by_board
from results.statistics.metric_statistics import MetricStatistic
from results.statistics.ranking import build_row_sample, rank_rows
from results.statistics.significance_tests import compute_pairwise_p_values
from tests.results.make import make_record, write_digits_run, write_table_run

FIRST = [place >= 10 for place in range(60)]  # wrong: 0 to 9
SECOND = [place >= 30 or place in (2, 5) for place in range(60)]  # wrong: 0 to 29 but 2 and 5


def test_a_pair_of_runs(tmp_path: Path) -> None:
    found = compare_backbones(
        [write_digits_run(tmp_path / "a", "a", FIRST)], [write_digits_run(tmp_path / "b", "b", SECOND)]
    )
    assert found.difference == pytest.approx(100 * 18 / 60)
    assert found.low < found.difference < found.high
    assert found.p_value == pytest.approx(binomtest(2, 22).pvalue)
    assert (found.test_name, found.resampling_unit, found.num_items) == ("McNemar, exact", "items only", 60)
    assert [flip.item for flip in found.better] == [str(place) for place in range(10, 30)]
    assert [flip.item for flip in found.worse] == ["2", "5"]
    assert (found.better[0].first, found.better[0].second) == (100.0, 0.0)
    turned = compare_backbones(
        [write_digits_run(tmp_path / "c", "b", SECOND)], [write_digits_run(tmp_path / "d", "a", FIRST)]
    )
    assert (turned.difference, turned.p_value) == (pytest.approx(-found.difference), found.p_value)
    assert (len(turned.better), len(turned.worse)) == (2, 20)


def test_several_seeds_are_averaged_and_the_p_is_the_boards(tmp_path: Path) -> None:
    first = [write_digits_run(tmp_path / f"a{seed}", "a", FIRST[seed:] + FIRST[:seed], seed) for seed in range(3)]
    second = [
        write_digits_run(tmp_path / f"b{seed}", "b", SECOND[2 * seed :] + SECOND[: 2 * seed], seed) for seed in range(3)
    ]
    found = compare_backbones(first, second)
    assert found.resampling_unit == "seeds x items"
    assert found.first.seeds == (0, 1, 2)
    samples = [build_row_sample(runs, "top1")[1] for runs in (first, second)]
    assert found.p_value == compute_pairwise_p_values(samples)[0, 1]


def test_draws_of_one_run_are_not_called_seeds(tmp_path: Path) -> None:
    """Two draws of the training images in one run say nothing about another seed of the backbone."""
    mean = MetricStatistic("mean", ("score",))
    draws, items = [0] * 30 + [1] * 30, [*range(30)] * 2
    sides = []
    for name, wrong in (("a", 4), ("b", 20)):
        scores = [100.0 * (item >= wrong + draw) for draw, item in zip(draws, items, strict=True)]
        columns = {"draw": draws, "item": items, "score": scores}
        run = write_table_run(tmp_path / name, name, columns, {"top1": (sum(scores) / 60, mean)}, "%")
        sides.append([run])
    found = compare_backbones(*sides)
    assert found.resampling_unit == "draws x items"
    assert found.test_name == "mixture of Student's tails over draws and items"
    (standing,) = rank_rows([sides[0]], "top1", True)
    assert standing.interval is not None
    assert standing.interval.resampling_unit == found.resampling_unit
    assert any(line.endswith("resolved") for line in format_comparison(found, 0))


def test_one_seed_is_not_called_resolved(tmp_path: Path) -> None:
    sides = [[write_digits_run(tmp_path / name, name, right)] for name, right in (("a", FIRST), ("b", SECOND))]
    found = compare_backbones(*sides)
    assert found.p_value < 0.001
    text = "\n".join(format_comparison(found, 10))
    assert "the runs differ, but one seed does not show that the backbones do" in text
    assert "resolved" not in text


def test_percentages_are_a_hundred_points_apart_at_most(tmp_path: Path) -> None:
    sides = [
        [write_digits_run(tmp_path / f"{name}{seed}", name, [right] * 2, seed) for seed in (0, 1)]
        for name, right in (("a", True), ("b", False))
    ]
    found = compare_backbones(*sides)
    assert (found.difference, found.high) == (100.0, 100.0)
    assert found.low >= -100


def test_what_is_not_comparable_is_refused_with_the_reason(tmp_path: Path) -> None:
    first = write_digits_run(tmp_path / "a", "a", FIRST)
    config = {"recipe": first[1].config["recipe"] | {"epochs": 80}}
    with pytest.raises(UserError, match=r"not comparable: config\.recipe\.epochs 40 and 80"):
        compare_backbones([first], [write_digits_run(tmp_path / "b", "b", SECOND, config=config)])
    with pytest.raises(UserError, match=r"not comparable: task digits and pets$"):
        compare_backbones([first], [write_digits_run(tmp_path / "c", "b", SECOND, task="pets", config=config)])
    with pytest.raises(UserError, match="both are run"):
        compare_backbones([first], [first])
    with pytest.raises(UserError, match="is failed and has no number"):
        compare_backbones([first], [(tmp_path, make_record(status="failed"))])


def test_a_backbones_runs_by_board(tmp_path: Path) -> None:
    runs = [write_digits_run(tmp_path / f"a{seed}", "a", FIRST, seed) for seed in (0, 1)]
    again = runs[0][1].model_copy(
        update={"environment": runs[0][1].environment.model_copy(update={"started": "2027-01-01T00:00:00+00:00"})}
    )
    (same,) = group_runs_by_board(
        [*runs, (tmp_path / "newer", again), write_digits_run(tmp_path / "b", "b", SECOND)], "a"
    ).values()
    assert sorted(folder.name for folder, _ in same) == ["a1", "newer"]
    other = Record.model_validate(runs[1][1].model_dump() | {"run_id": "0" * 16})
    changed = other.model_copy(update={"backbone": other.backbone.model_copy(update={"allow_partial": True})})
    with pytest.raises(UserError, match="2 different starts"):
        group_runs_by_board([*runs, (tmp_path, changed)], "a")


def test_one_start_of_a_backbone_by_board(tmp_path: Path) -> None:
    scratch = [write_digits_run(tmp_path / f"a{seed}", "a", FIRST, seed) for seed in (0, 1)]
    content = write_digits_run(tmp_path / "b", "a", SECOND)[1].model_dump() | {"run_id": "0" * 16}
    content["backbone"] |= {"init": "checkpoint", "checkpoint": {"uri": "f", "sha256": "4f" * 32, "bytes": 1}}
    loaded = (tmp_path / "b", Record.model_validate(content))
    content = content | {"run_id": "1" * 16, "domain": "pretraining", "protocol": "mae"}
    content["result"]["details"] = {"encoder": {"sha256": "4f" * 32}}
    runs = [*scratch, loaded, (tmp_path / "c", Record.model_validate(content))]
    with pytest.raises(UserError, match=r"2 different starts \(mae 4f4f4f4f, random\); name one of them, as in a@"):
        group_runs_by_board(runs, "a")
    for name in ("a@mae", "a@4f4f", "a@checkpoint"):
        assert group_runs_by_board(runs, name) == {loaded[1].comparability: [loaded]}
    assert group_runs_by_board(runs, "a@random") == {loaded[1].comparability: scratch}
    assert group_runs_by_board(runs, "a@card") == {}
