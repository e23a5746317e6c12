"""Curves and pictures of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from results.leaderboard.page import media as media_module
from results.leaderboard.page import runs
from results.leaderboard.page.curves import MAX_CURVE_POINTS, read_training_curves
from results.leaderboard.page.data import build_page_data
from results.leaderboard.page.media import AnalysisPanel, PageMedia
from results.leaderboard.page.write import render_page
from results.leaderboard.report import build_report
from results.records.record import dump_record
from results.records.store import ScanResult, scan_runs
from tests.results.leaderboard.page.make_page import add_pictures, log_scalars, make_png
from tests.results.make import write_run


def test_losses_by_step_and_metrics_by_validation(tmp_path: Path) -> None:
    log_scalars(
        tmp_path, {"loss": [(10, 2.0), (20, 1.0)], "lr": [(10, 0.1)], "val/top1": [(0, 50.0), (0, 60.0), (0, 70.0)]}
    )
    loss, top1 = read_training_curves(tmp_path)
    assert loss == ("loss", "step", [10, 20], [2.0, 1.0])
    assert top1 == ("val/top1", "validation", [1, 2, 3], [50.0, 60.0, 70.0])


def test_validations_that_are_logged_by_epoch_say_so(tmp_path: Path) -> None:
    log_scalars(
        tmp_path, {"loss": [(10, 2.0), (20, 1.0)], "epoch": [(10, 1.0), (20, 2.0)], "val/top1": [(1, 50.0), (2, 60.0)]}
    )
    assert [(curve.name, curve.x_unit) for curve in read_training_curves(tmp_path)] == [
        ("loss", "step"),
        ("val/top1", "epoch"),
    ]


def test_a_resumed_run_keeps_the_newest_value_of_a_step(tmp_path: Path) -> None:
    log_scalars(tmp_path, {"loss": [(10, 2.0), (20, 9.0)]}, "1")
    log_scalars(tmp_path, {"loss": [(20, 1.0), (30, 0.5)]}, "2")
    assert read_training_curves(tmp_path)[0].y == [2.0, 1.0, 0.5]


def test_long_curves_are_thinned_and_keep_their_end(tmp_path: Path) -> None:
    log_scalars(tmp_path, {"loss": [(i, float(i)) for i in range(1000)]})
    (loss,) = read_training_curves(tmp_path)
    assert len(loss.x) <= MAX_CURVE_POINTS + 1
    assert (loss.x[0], loss.x[-1]) == (0, 999)


def test_a_torn_log_and_no_log(tmp_path: Path) -> None:
    assert read_training_curves(tmp_path) == []
    path = log_scalars(tmp_path, {"loss": [(i, 1.0) for i in range(50)]})
    path.write_bytes(path.read_bytes()[:-7])
    assert len(read_training_curves(tmp_path)[0].x) == 49


def page_data(root: Path, media: PageMedia | None = None) -> dict[str, Any]:
    return build_page_data(build_report(scan_runs([root])), media or PageMedia(embed=False))


def test_a_page_takes_in_the_newest_runs_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in (1, 2):
        folder = tmp_path / str(day)
        write_run(folder, "a", [True, False], str(day), seed=day, started=f"2026-01-0{day}T00:00:00+00:00")
        add_pictures(folder, 10)
        log_scalars(folder, {"loss": [(1, 1.0)]})
    for name in ("MAX_RUNS_WITH_PICTURES", "MAX_RUNS_WITH_CURVES", "MAX_RUNS_WITH_FACTS"):
        monkeypatch.setattr(runs, name, 1)
    found = {run["seed"]: run for run in page_data(tmp_path)["runs"]}
    assert {"pictures", "curves", "command"} <= found[2].keys()
    assert found[1].keys() == {"id", "seed", "folder", "pictures_left_out"}


def test_many_runs_of_one_board_leave_room_for_the_pictures_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write_run(tmp_path / "old", "a", [True, False], "old", comparability="o", started="2020-01-01T00:00:00+00:00")
    add_pictures(tmp_path / "old", 2)
    for seed in range(4):
        folder = tmp_path / str(seed)
        write_run(folder, "a", [True, False], str(seed), seed=seed)
        add_pictures(folder, 100)
    monkeypatch.setattr(runs, "PICTURE_TEXT_BYTES", 1_500)  # room for two sheets of a hundred items
    found = {run["id"]: run for run in page_data(tmp_path)["runs"]}
    assert [picture["kind"] for picture in found[old.run_id]["pictures"]] == ["overlay", "item_sheet"]
    assert all(run["pictures"][0]["kind"] == "overlay" for run in found.values()), "sheets come after all others"
    assert sum("pictures_left_out" in run for run in found.values()) == 3, "and the page says that it left some out"
    monkeypatch.setattr(runs, "MAX_RUNS_WITH_PICTURES", 2)
    found = {run["id"]: run for run in page_data(tmp_path)["runs"]}
    assert "pictures" in found[old.run_id]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_log_that_is_no_file_is_no_curve(tmp_path: Path, kind: str) -> None:
    home = tmp_path / "logs" / "1" / "vis_data"
    home.mkdir(parents=True)
    path = home / "events.1"
    if kind == "link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "pipe":
        os.mkfifo(path)  # to read it would wait for ever
    else:
        path.mkdir()
    assert read_training_curves(tmp_path) == []


def test_details_stay_within_their_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, made = tmp_path / "a", write_run(tmp_path / "a", "a", [True, False], "1")
    assert made.result is not None
    made.result.details["classes"] = 10
    (folder / "record.json").write_text(dump_record(made))
    assert "details" in page_data(tmp_path)["runs"][0]
    monkeypatch.setattr(runs, "DETAIL_BYTES", 5)
    assert "details" not in page_data(tmp_path)["runs"][0]


def test_pictures_keep_their_titles_and_lie_beside_the_page(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "a", [True, False], "1")
    add_pictures(tmp_path / "a", 2)
    media = PageMedia(embed=False)
    found = page_data(tmp_path, media)
    overlay, sheet = found["runs"][0]["pictures"]
    assert (overlay["kind"], overlay["title"]) == ("overlay", "worst image: 3")
    assert (sheet["items"], sheet["tile_size"]) == (["0", "1"], [8, 8])
    addresses = {found["shared_values"][picture["address"]] for picture in (overlay, sheet)}
    assert addresses == {f"media/{name}" for name in media.files}


def test_the_pre_training_of_the_start_weights_is_on_the_page(tmp_path: Path) -> None:
    digest = "ab" * 32
    start = {"init": "checkpoint", "checkpoint": {"uri": "encoder.pth", "sha256": digest, "bytes": 1}}
    write_run(tmp_path / "a", "vit_nano", [True, False], "1", backbone=start)
    made = write_run(tmp_path / "b", "vit_nano", [True, False], "2", domain="pretraining", protocol="mae")
    assert made.result is not None
    made.result.details["encoder"] = {"file": "encoder.pth", "sha256": digest}
    (tmp_path / "b" / "record.json").write_text(dump_record(made))
    add_pictures(tmp_path / "b", 2)
    found = page_data(tmp_path)
    (row,) = found["boards"][0]["rows"]
    assert row["label"] == "vit_nano (mae abababab)"
    assert found["runs"][row["origin"]]["id"] == "2" and found["runs"][row["origin"]]["pictures"]


def test_analyses_are_shown_and_what_they_say_is_text() -> None:
    page = render_page(
        build_report(ScanResult([], [])),
        [AnalysisPanel("cka: <b>a</b>", "note & more", [("heat", make_png())])],
    )
    assert "cka: &lt;b&gt;a&lt;/b&gt;" in page and "<b>a</b>" not in page
    assert "note &amp; more" in page and 'src="data:image/png;base64,' in page
    assert ">Analyses</h2>" not in render_page(build_report(ScanResult([], [])))


def test_a_figure_without_room_is_missed_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_module, "MAX_EMBEDDED_BYTES", 10)
    page = render_page(build_report(ScanResult([], [])), [AnalysisPanel("cka", "note", [("heat", make_png())])])
    assert "note; this page has no room for 1 figure<" in page
