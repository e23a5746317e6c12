"""What departs from the protocol is said of each run and board, whatever others there are."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from results.leaderboard.departures import list_board_departures, list_departures
from results.leaderboard.render.csv import to_csv
from results.leaderboard.render.json import to_json_data
from results.leaderboard.render.latex import to_latex
from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.report import build_report
from results.leaderboard.table import build_table
from results.records.record import Record
from results.records.store import scan_runs
from tests.results.make import make_record, make_scan

REFERENCE_RUNS = Path(__file__).parents[3] / "results" / "reference_runs"


def make_knn(command: list[str] | None = None, **changes: Any) -> Record:
    """A k-NN run with other settings than the file's, started by this command."""
    content = make_record().model_dump()
    content |= {"protocol": "knn", "config": {"recipe": {"k": 1, "temperature": 1.0, "img_size": 32}}}
    content["environment"]["command"] = command or ["litevit_bench.run"]
    return Record.model_validate(content | changes)


@pytest.mark.parametrize("stated", [None, [], ["k"], ["temperature", "k"]])
def test_a_record_of_today_says_what_differs_from_the_file(stated: list[str] | None) -> None:
    found = list_departures(make_knn(["bench", "run", "digits", "--set", "img_size=32"], changed_settings=stated))
    assert found == {"[]": (), "['k']": ("k=1",), "None": ("img_size=32",)}.get(str(stated), ("k=1", "temperature=1"))


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "k=1", "temperature=1.0", "--seeds", "0"],
        ["--set", "k=1", "--seeds", "0", "--set", "temperature=1.0"],
        ["--set=k=1", "--set=temperature=1.0"],
        ["--set", "k=1", "temperature=1.0", "--", "nonsense=1"],
    ],
)
def test_an_older_record_is_derived_from_its_command(words: list[str]) -> None:
    record = make_knn(["bench", "run", "digits", *words])
    assert list_departures(record) == ("k=1", "temperature=1")
    assert list_departures(make_knn()) == (), "a run from Python does not say it"


def test_settings_that_were_renamed_since_are_found() -> None:
    recipe = {"recipe": {"ce": {"keep_ratio": 0.5}}}
    command = ["bench", "run", "lasot", "--set", "eliminate.keep=0.5"]
    assert list_departures(make_knn(command, config=recipe)) == ("ce.keep_ratio=0.5",)


def test_data_fraction_shots_and_data_are_said() -> None:
    data = make_record().data.model_dump()
    record = make_knn(
        config={"recipe": {"shots": 4, "percent": None}, "data_scale": 0.1},
        changed_settings=["percent", "shots"],
        data=data | {"deviations": ["test has 3 images"], "duplicates": ["1 item"]},
        backbone=make_record().backbone.model_dump() | {"allow_partial": True},
    )
    found = ("10 % of train", "shots=4", "not the official data", "test items in train")
    assert list_board_departures([record]) == found
    assert list_departures(record) == (*found, "partial weights")


def test_one_record_that_knows_speaks_for_its_board() -> None:
    older = make_knn(["bench", "run", "digits", "--set", "k=1", "img_size=32"], run_id="1")
    newer = make_knn(run_id="2", changed_settings=["k"])
    assert list_board_departures([older, newer]) == list_board_departures([newer, older]) == ("k=1",)


def test_a_board_alone_is_headed_with_its_departures_in_every_format() -> None:
    report = build_report(make_scan(make_knn(changed_settings=["k", "temperature"])))
    assert "## digits · knn · full · k=1, temperature=1\n" in to_markdown(report)
    assert r"\caption{digits \textperiodcentered{} knn \textperiodcentered{} full" in to_latex(report)
    assert "k=1, temperature=1. top1" in to_latex(report)
    (board,) = to_json_data(report)["boards"]
    assert board["departures"] == ("k=1", "temperature=1") and board["title"].endswith("k=1, temperature=1")
    assert {row["departures"] for row in csv.DictReader(io.StringIO(to_csv(report)))} == {"k=1; temperature=1"}


def test_boards_that_nothing_distinguishes_are_named_by_their_keys() -> None:
    first, second = (make_knn(run_id=key, comparability=key * 16) for key in "ab")
    titles = [board.title for board in build_table(make_scan(first, second)).boards]
    assert titles == ["digits · knn · full · key aaaaaaaa", "digits · knn · full · key bbbbbbbb"]
    alike = [make_knn(run_id=key, comparability="a" * 8 + key * 8) for key in "ab"]
    titles = [board.title for board in build_table(make_scan(*alike)).boards]
    assert titles == [f"digits · knn · full · top1, key aaaaaaaa{key * 8}" for key in "ab"]


def test_a_change_to_the_value_that_ids_leave_out_is_named() -> None:
    record = make_knn(changed_settings=["k", "schedule.warmup_peak"])
    assert list_board_departures([record]) == ("k=1", "other schedule.warmup_peak")


def test_digests_of_teachers_are_shortened() -> None:
    configs = [{"recipe": {}, "teacher": {"sha256": digit * 64}} for digit in "12"]
    runs = [make_knn(run_id=str(i), comparability=f"{i}" * 16, config=each) for i, each in enumerate(configs)]
    titles = [board.title for board in build_table(make_scan(*runs)).boards]
    assert titles == [f"digits · knn · full · teacher.sha256={digit * 12}" for digit in "12"]


def test_the_committed_runs_on_a_tenth_of_the_labels_are_headed_so() -> None:
    titles = [board.title for board in build_table(scan_runs([REFERENCE_RUNS])).boards]
    assert [title for title in titles if "10 % of train" in title] == [
        "cifar10 · finetune_32 · short · 10 % of train, not the official data",
        "digits · finetune · full · 10 % of train",
    ]


def test_no_record_hides_a_setting_on_the_rows_of_others() -> None:
    whole, edited = make_knn(changed_settings=["k"]), make_knn(changed_settings=[])
    assert list_board_departures([edited, whole]) == list_board_departures([whole, edited]) == ("k=1",)


@pytest.mark.parametrize("scale", [2**64 - 1, -1, 2.5, "all", None, [0.1]])
def test_a_fraction_that_cannot_be_is_shown_as_it_is(scale: Any) -> None:
    record = make_knn(changed_settings=[], config={"recipe": {}, "data_scale": scale})
    assert list_departures(record) == (f"data_scale={scale}",)
