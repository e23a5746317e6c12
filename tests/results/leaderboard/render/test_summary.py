from __future__ import annotations

import json

from results.leaderboard.render.cells import tabulate_summary
from results.leaderboard.render.json import to_json_data
from results.leaderboard.render.latex import to_latex
from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.render.summary_notes import build_summary_notes
from results.leaderboard.report import LeaderboardReport
from results.leaderboard.summary.cross_board_summary import CrossBoardSummary, summarize_boards
from results.leaderboard.table import LeaderboardTable
from tests.results.make_boards import make_board

FOUR = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}


def summarize_gaps() -> CrossBoardSummary:
    """Four rows on three tasks, one of which has two settings, and two rows outside this block."""
    boards = [
        make_board("t", FOUR | {"x": 9.0}),
        make_board("t", FOUR, dict.fromkeys(FOUR, 1), protocol="knn"),
        make_board("u", FOUR),
        make_board("v", {"a": 1.0, "b": 4.0, "c": 3.0, "d": 2.0}),
        make_board("w", {"a": 7.0, "y": 8.0}, notes={"y": "it was scored on different items"}),
    ]
    (summary,) = summarize_boards(boards)
    return summary


def test_the_table_has_ranks_only_inside_the_block() -> None:
    table = tabulate_summary(summarize_gaps())
    assert table.header == ("backbone", "mean rank", "win rate", "boards", "1", "2", "3", "4", "5")
    assert table.rows == (
        ("b (random)", "1.75=", "67.5 % of 10", "4 of 5", "3.00", "3.00", "3.00", "4.00", "missing"),
        ("a (random)", "2.25=", "52.5 % of 10", "5 of 5", "4.00", "4.00", "4.00", "1.00", "7.00"),
        ("c (random)", "2.58=", "42.5 % of 10", "4 of 5", "2.00", "2.00", "2.00", "3.00", "missing"),
        ("d (random)", "3.42=", "17.5 % of 10", "4 of 5", "1.00", "1.00", "1.00", "2.00", "missing"),
        ("x (random)", "not comparable, misses 3", "100.0 % of 4", "1 of 5", "9.00", *["missing"] * 4),
        (
            "y (random)",
            "not comparable, misses 4",
            "no comparison",
            "1 of 5",
            *["missing"] * 4,
            "8.00 (not compared)",
        ),
    )


def test_the_notes_say_what_was_compared_and_how() -> None:
    notes = build_summary_notes(summarize_gaps())
    assert notes[0].startswith("Mean rank: over the largest complete block, 4 rows x 4 boards (1 to 4) of 3 tasks.")
    assert "On 3 of the 4 boards of the block, rows of one seed are ordered by their scores" in notes[1]
    assert notes[2].startswith("Friedman test over the 3 tasks: chi-square 3.53, 3 degrees of freedom, p = 0.32")
    assert "a rough value below 11 tasks or 6 rows" in notes[2]
    assert "(Nemenyi, 5 %): 2.71; = marks the rows" in notes[2]
    assert notes[3].startswith("Win rate:")
    assert notes[4] == (
        "Agreement of boards (Kendall's tau-b of the scores, 95 % interval): most 1 and 2 with 1.00 (-0.12 to 1.00), "
        "4 backbones; least 1 and 4 with 0.00 (-0.74 to 0.74), 4 backbones."
    )
    assert notes[5].startswith("A score that is marked as not compared")
    assert notes[6:] == [
        "1: t · finetune (mean agreement 0.67 with 3 boards).",
        "2: t · knn (mean agreement 0.67 with 3 boards).",
        "3: u · finetune (mean agreement 0.67 with 3 boards).",
        "4: v · finetune (mean agreement 0.00 with 3 boards).",
        "5: w · finetune.",
    ]


def test_the_notes_say_what_there_is_not() -> None:
    (summary,) = summarize_boards([make_board("t", {"a": 2.0, "b": 1.0}), make_board("u", {"a": 2.0})])
    notes = build_summary_notes(summary)
    assert notes[0] == "No mean rank: there are no two backbones that share boards of two tasks."
    assert notes[2] == "How far the boards agree is unknown: no two share 4 backbones with different scores."
    assert notes[1].endswith("Rows of one seed are compared by their scores, which another seed may change.")
    ranked = [make_board("t", {"a": 2.0, "b": 1.0}, {"a": 1, "b": 2}), make_board("u", {"a": 2.0}, {"a": 1})]
    assert "one seed" not in " ".join(build_summary_notes(summarize_boards(ranked)[0]))
    (two,) = summarize_boards([make_board(task, {"a": 2.0, "b": 1.0}) for task in "tu"])
    assert "No test over the tasks: it needs three rows in the block." in build_summary_notes(two)
    (few,) = summarize_boards([make_board(task, {"a": 3.0, "b": 2.0, "c": 1.0}) for task in "tu"])
    assert any("2.34; more than 3 rows can differ, so 2 tasks are too few" in note for note in build_summary_notes(few))
    assert few.block is not None
    cut = few._replace(block=few.block._replace(is_largest=False), ambiguous_labels=("a <b>",))
    assert any("a larger complete block may exist" in note for note in build_summary_notes(cut))
    assert "Left out where one board has several rows of the same name: a <b>." in build_summary_notes(cut)


def test_every_format_has_the_summary() -> None:
    summary = summarize_gaps()
    report = LeaderboardReport(LeaderboardTable((), (), (), ()), {}, (summary,))
    for text in (to_markdown(report), to_latex(report)):
        assert "not comparable, misses 3" in text
        assert "Friedman test over the 3 tasks" in text
        assert "ormalized" not in text
    data = json.loads(json.dumps(to_json_data(report), allow_nan=False))["overviews"][0]
    assert data["rows"][0]["cells"][0] == {"score": 3.0, "rank": None, "is_comparable": True, "mid_rank": 2.0}
    assert data["rows"][0]["is_near_best"] is True
    assert data["rows"][4]["mean_rank"] is None
    assert data["block"]["boards"] == [0, 1, 2, 3]
    assert data["block"]["friedman"]["degrees_of_freedom"] == 3
    assert len(data["agreements"]) == 6
    assert data["agreements"][0]["boards"] == [0, 1]
    assert data["notes"] == build_summary_notes(summary)
