"""Markdown, CSV, LaTeX and JSON of one report."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from results.leaderboard.render.cells import build_board_notes
from results.leaderboard.render.csv import to_csv
from results.leaderboard.render.json import to_json_data
from results.leaderboard.render.latex import to_latex
from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.report import LeaderboardReport, build_report
from results.records.record import Record
from tests.results.make import make_backbone_record, make_cost, make_record, make_scan
from tests.results.make_boards import make_board
from tests.results.published.test_match import ours

NASTY = r"<script>|a_b&c%$#{}\^~`"


def report(*records: Record) -> LeaderboardReport:
    return build_report(make_scan(*records))


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_markdown_is_aligned_and_says_what_is_not_measured() -> None:
    text = to_markdown(report(make_record(domain="tracking"), make_backbone_record("b", 50.0, "2")))
    assert len({len(line) for line in lines_of(text)}) == 1
    assert "not measured" in text
    assert " 0 |" not in text, "what was not measured is never 0"
    assert text.index("vit_nano") < text.index("| b ")
    assert "random (floor)" in text


def test_a_board_without_a_floor_says_so() -> None:
    assert "No floor" in to_markdown(report(make_backbone_record("a", 90.0, "1", backbone={"init": "card"})))
    assert "No floor" not in to_markdown(report(make_backbone_record("a", 90.0, "1")))


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_shared_rank_claims_no_more_than_it_means_and_says_what_helps(seeds: int) -> None:
    board = make_board("digits", {"a": 2.0, "b": 1.0}, {"a": 1, "b": 1})
    tied = [row._replace(tied_with=("other",), seeds=tuple(range(seeds))) for row in board.rows]
    notes = build_board_notes(board._replace(rows=tuple(tied)))
    assert "Rows that share a rank (=) do not differ significantly from the best of them." in notes
    assert any(note.startswith("Two seeds rarely show a difference") for note in notes) == (seeds == 2)


def test_no_runs() -> None:
    assert to_markdown(report()) == "No runs found.\n"


def test_unfinished_runs_are_listed_with_their_reason() -> None:
    failed = report(make_backbone_record("a", 90.0, "1"), make_record(run_id="2", status="failed", reason="disk full"))
    assert "- runs/1: failed, 0 of 359 items scored: disk full" in to_markdown(failed)
    assert "disk full" in to_latex(failed)
    assert to_json_data(failed)["unranked"][0]["reason"] == "failed, 0 of 359 items scored: disk full"


def test_reported_reproduced_and_difference_stand_side_by_side() -> None:
    text = to_markdown(report(ours(77.8, cost=make_cost(5_717_416, 12.345))))
    head, _, row = lines_of(text)[:3]
    by_name = dict(zip((c.strip() for c in head.split("|")), (c.strip() for c in row.split("|")), strict=True))
    assert by_name["top1 (%)"].startswith("77.80 (")
    assert by_name["reported"] == "78.0"
    assert by_name["difference"] == "-0.20, within 0.3"
    assert (by_name["parameters"], by_name["MACs"], by_name["ms"]) == ("5.72 M", "57.2 M", "12.35")
    assert by_name["images/s"] == "162 (batch 4)"
    assert re.search(r"Backbone timed on: a chip, 1 thread, torch 2, fp32 \(\d{4}-\d\d-\d\d\)\.", text)
    assert "Reported mae_tiny: wangsr126/MAE-Lite at f3090d4, result tables" in text
    assert "epochs is 1000 in the source and 300 in our run" in text, "the rest is context, with its reason"


def test_a_time_of_a_busy_machine_is_marked_in_every_format() -> None:
    made = report(
        make_backbone_record("quiet", 80.0, "1", cost=make_cost(100, 2.0)),
        make_backbone_record("busy", 90.0, "2", cost=make_cost(90, 20.5, other_load=0.9)),
    )
    text = to_markdown(made)
    assert "20.50 (busy machine)" in text
    assert "98 (batch 4, busy machine)" in text
    assert "bench profile busy --img-size 32 --device cpu --save runs" in text
    assert re.search(r"front against ms per image .*\(1 row measured, left off: 1 of a busy machine\): quiet", text)
    assert r"20.50 (busy machine)" in to_latex(made)
    lines = list(csv.DictReader(io.StringIO(to_csv(made))))
    assert {(line["backbone"], line["busy"], line["throughput_busy"]) for line in lines} == {
        ("quiet", "0", "0"),
        ("busy", "1", "1"),
    }
    rows = to_json_data(made)["boards"][0]["rows"]
    assert {(row["backbone"], row["cost"]["is_busy"], bool(row["cost"]["renewal"])) for row in rows} == {
        ("quiet", False, False),
        ("busy", True, True),
    }


def test_csv_has_full_precision_and_empty_for_not_measured() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(report(make_record(backbone={"parameters": None}))))))
    primary = next(row for row in rows if row["metric"] == "top1")
    assert float(primary["value"]) == 97.7715877437326
    assert primary["parameters"] == primary["macs"] == primary["latency_ms"] == primary["reported"] == ""
    assert primary["seed_min"] == ""
    other = next(row for row in rows if row["metric"] == "mean_per_class")
    assert other["ci_low"] == "", "no interval was measured for it"
    (beside,) = (row for row in csv.DictReader(io.StringIO(to_csv(report(ours(77.6))))) if row["primary"] == "1")
    assert (beside["reported"], beside["tolerance"], beside["within"]) == ("78.0", "0.3", "0")
    assert float(beside["difference"]) == pytest.approx(-0.4)


def test_json_is_strict_and_complete() -> None:
    data = json.loads(
        json.dumps(to_json_data(report(ours(77.8), make_backbone_record(NASTY, 1.0, "2"))), allow_nan=False)
    )
    row = next(r for board in data["boards"] for r in board["rows"] if r["backbone"] == "mae_tiny")
    assert row["reported"]["published"]["value"] == 78.0
    assert row["cost"]["macs"] is None
    assert any(r["backbone"] == NASTY for board in data["boards"] for r in board["rows"])


def test_names_from_records_are_escaped() -> None:
    made = report(make_backbone_record(NASTY, 90.0, "1"), make_backbone_record("b", 80.0, "2"))
    text = to_markdown(made)
    assert "<script>" not in text
    assert len({len(re.sub(r"\\\|", "", line).split("|")) for line in lines_of(text)}) == 1, (
        "a | in a name makes no cell"
    )
    latex = to_latex(made)
    assert (
        r"\textless{}script\textgreater{}|a\_b\&c\%\$\#\{\}\textbackslash{}\textasciicircum{}\textasciitilde{}`"
        in latex
    )


def test_latex_is_booktabs_with_balanced_groups() -> None:
    text = to_latex(report(ours(77.8), make_backbone_record("b", 80.0, "2")))
    for name in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{name}") == text.count(r"\begin{table}")
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    for body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.S):
        rows = [line for line in body[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(body[0])}


def test_the_heading_says_where_boards_of_one_protocol_differ() -> None:
    base = make_record().config["recipe"] | {"shots": 1}
    cells = [
        make_backbone_record("a", 10.0, str(n), comparability=str(n), config={"recipe": base | {"shots": n}})
        for n in (1, 4)
    ]
    assert "## digits · finetune · full · shots=4\n" in to_markdown(report(*cells))
    rows = csv.DictReader(io.StringIO(to_csv(report(*cells))))
    assert {(row["settings"], row["departures"]) for row in rows} == {("", "shots=1"), ("", "shots=4")}


def test_of_two_machines_it_is_said_which_row_is_of_which() -> None:
    text = to_markdown(
        report(
            make_backbone_record("a", 90.0, "1", cost=make_cost(100, 2.0, chip="old")),
            make_backbone_record("b", 80.0, "2", cost=make_cost(90, 1.0, chip="new")),
        )
    )
    assert re.search(r"on: new, .* \(2026-\S+\): b \(random\); old, .* \(2026-\S+\): a \(random\)\.", text)
    assert "Times of different setups are not comparable with each other." in text
