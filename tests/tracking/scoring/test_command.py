"""``bench score`` as a person meets it: output, files written, one sentence for what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli.main import main
from benchmarks.score_results import SCORERS
from foundation.errors import ConfigError
from results.score_request import ScoreRequest
from tests.tracking.scoring.conftest import random_boxes, write_sequence
from tests.tracking.scoring.test_sets import save
from tracking.scoring.command import pack_tracking_submission, score_tracking_set
from tracking.scoring.sets import PUBLIC_TEST_SETS
from tracking.scoring.submission import SERVER_TEST_SETS

Text = pytest.CaptureFixture[str]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three sequences in LaSOT's layout and two trackers."""
    for i, name in enumerate(("mine-1", "mine-2", "ours-1")):
        truth = random_boxes(i, 30)
        write_sequence(tmp_path / "lasot", name, truth, np.arange(30) == 7)
        save(tmp_path / "good" / f"{name}.txt", random_boxes(20 + i, 30, truth))
        save(tmp_path / "poor" / f"{name}.txt", np.repeat(truth[:1], 30, axis=0), "\t")
    return tmp_path


def run(*words: object) -> int:
    return main(["score", *map(str, words)])


def test_every_set_has_a_scorer() -> None:
    assert set(SCORERS) >= {*PUBLIC_TEST_SETS, *SERVER_TEST_SETS}


def test_real_results_in_a_table_with_plots_and_json(real: Path, tmp_path: Path, capsys: Text) -> None:
    trackers = (real / "SiamRPNpp", real / "ATOM")
    words = ("--data-root", real, "--plots", tmp_path / "plots", "--out", tmp_path / "score.json", "--by", "category")
    assert run("lasot", "--results", *trackers, *words) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["ATOM", "51.434", "50.543", "57.682", "59.174", "42.614", "280", "of", "280"] in rows
    assert ["SiamRPNpp", "49.559", "49.144", "56.941", "58.554", "41.354", "280", "of", "280"] in rows
    assert rows.index(next(row for row in rows if row[:1] == ["ATOM"])) < rows.index(
        next(row for row in rows if row[:1] == ["SiamRPNpp"])
    )
    assert "SiamRPNpp minus ATOM in AUC, points: above on 135, below on 145 of 280 sequences" in out
    assert "absent frames: failures, kept in the denominator, a miss of the precisions" in out
    assert "PARTIAL" not in out
    kept = json.loads((tmp_path / "score.json").read_text())
    assert kept["trackers"][0]["metrics"]["AUC"] == pytest.approx(51.434, abs=0.005)
    assert len(kept["trackers"][0]["sequences"]) == len(kept["difference"]["sequences"]) == 280
    assert kept["rules"]["absent_frames"] == "failure"
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    kinds = ("success", "precision", "normalised_precision", "difference")
    assert plots == {f"{kind}.{form}" for kind in kinds for form in ("png", "pdf")}
    assert (tmp_path / "plots" / "success.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "plots" / "success.pdf").read_bytes().startswith(b"%PDF")


def test_partial_is_marked_in_text_json_and_plots(three: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn: list[str] = []
    save_figure = Figure.savefig

    def watch(figure: Figure, *arguments: Any, **more: Any) -> None:
        axes = figure.axes[0]
        drawn.append(axes.get_title() + " ".join(axes.get_legend_handles_labels()[1]))
        save_figure(figure, *arguments, **more)

    monkeypatch.setattr(Figure, "savefig", watch)
    words = ("--data-root", three, "--partial", "--int", "--by", "sequence")
    assert run("lasot", "--results", three / "poor", three / "good", *words, "--plots", three / "p") == 0
    out = capsys.readouterr().out
    assert "PARTIAL, not comparable with any published number, not ranked" in out
    assert "PARTIAL 3 of 280" in out
    assert "none of the 3 sequences" in out
    assert "TRUNCATED TO INTEGERS" in out
    assert out.index("\npoor") < out.index("\ngood")  # as given, not ranked
    assert len(drawn) == 8
    assert all("PARTIAL: 3 of 280 sequences" in title for title in drawn)
    assert run("lasot", "--results", three / "good", *words, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["partial"]
    assert data["trackers"][0]["metrics"] is None
    assert data["trackers"][0]["partial_metrics"]["P"] > 0
    assert data["rules"]["truncate_to_integers"] is True


def test_a_request_needs_no_command_line(three: Path, capsys: Text) -> None:
    request = ScoreRequest("lasot", (three / "good",), data_root=three, partial=True, group_by="sequence")
    report = score_tracking_set(request)
    assert run("lasot", "--results", three / "good", "--data-root", three, "--partial", "--by", "sequence") == 0
    assert capsys.readouterr().out.rstrip() == report.text.rstrip()
    assert request.list_given_options() == ("--partial", "--by")
    with pytest.raises(ConfigError, match="--partial has no meaning for trackingnet"):
        pack_tracking_submission(replace(request, test_set="trackingnet"))


def test_got10k_val_needs_no_precision_plots(tmp_path: Path, capsys: Text) -> None:
    save(tmp_path / "val" / "a" / "groundtruth.txt", random_boxes(0, 9))
    save(tmp_path / "r" / "a" / "a_001.txt", random_boxes(0, 9))
    (tmp_path / "val" / "a" / "cover.label").write_text("8\n" * 9)
    (tmp_path / "val" / "a" / "meta_info.ini").write_text("resolution: (640, 480)\n")
    (tmp_path / "val" / "list.txt").write_text("a\n")
    words = ("--results", tmp_path / "r", "--data-root", tmp_path, "--partial", "--plots", tmp_path / "p")
    assert run("got10k_val", *words) == 0
    out = capsys.readouterr().out
    assert ["r", "100.000", "100.000", "100.000", "PARTIAL", "1", "of", "180"] in [
        line.split() for line in out.split("\n")
    ]
    assert "pooling: mean over frames" in out
    assert {path.stem for path in (tmp_path / "p").iterdir()} == {"success"}


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (["trackfolder", "--results", "good"], "with bench evaluate trackfolder --run RUN", 2),
        (["lasott", "--results", "good"], "unknown set 'lasott'; did you mean lasot", 2),
        (["lasot", "--results", "good"], "no ground truth of LaSOT testing set in data", 2),
        (["lasot", "--results", "good", "--data-root", "."], "of the 3 sequences in lasot is in the official list", 2),
        (["lasot", "--results", "nowhere", "--data-root", ".", "--partial"], "--results nowhere is not a folder", 2),
        (["lasot", "--results", "good", "good", "--data-root", ".", "--partial"], "names the same folder twice", 2),
        (["lasot", "--results", "bad", "--data-root", ".", "--partial"], "mine-1.txt, line 2, has 8 numbers", 2),
        (["lasot", "--results", "short", "--data-root", ".", "--partial"], "mine-1 (29 of 30 boxes)", 1),
        (["lasot", "--results", "good", "--data-root", ".", "--partial", "--out", "lasot"], "is a folder", 2),
        (["lasot", "--results", "good", "--data-root", ".", "--partial", "--plots", "file"], "cannot write to", 2),
        (["trackingnet", "--results", "good"], "name the archive for its server with --out FILE.zip", 2),
        (["trackingnet", "--results", "good", "--out", "a.zip", "--partial"], "--partial has no meaning", 2),
        (["trackingnet", "--results", "good", "poor", "--out", "a.zip"], "holds one tracker", 2),
        (["trackingnet", "--results", "good", "--out", "a.zip", "--data-root", "."], "no TrackingNet test in", 2),
    ],
)
def test_what_is_wrong_is_one_sentence(
    words: list[str], says: str, code: int, three: Path, monkeypatch: pytest.MonkeyPatch, capsys: Text
) -> None:
    monkeypatch.chdir(three)
    Path("bad").mkdir()
    Path("bad/mine-1.txt").write_text("1,2,3,4\n1,2,3,4,5,6,7,8\n")
    save(Path("short/mine-1.txt"), random_boxes(0, 29))
    Path("file").write_text("")
    before = sorted(three.rglob("*"))
    assert run(*words) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert sorted(three.rglob("*")) == before
