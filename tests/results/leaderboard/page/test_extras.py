"""Curves and pictures of a run."""

from __future__ import annotations

import base64
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from results.leaderboard.page import data
from results.leaderboard.page.curves import MAX_CURVE_POINTS, read_training_curves
from results.leaderboard.page.data import build_page_data
from results.leaderboard.page.pictures import MAX_PICTURE_BYTES, AnalysisPanel, encode_run_pictures
from results.leaderboard.page.write import render_page
from results.leaderboard.report import build_report
from results.records.store import ScanResult, scan_runs
from tests.results.make import write_run

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def log(folder: Path, values: dict[str, list[tuple[int, float]]], name: str = "1") -> Path:
    home = folder / "logs" / name / "vis_data"
    writer = EventFileWriter(str(home))
    for tag, points in values.items():
        for step, value in points:
            writer.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])))
    writer.close()
    (path,) = home.iterdir()
    return path


def test_losses_by_step_and_metrics_by_validation(tmp_path: Path) -> None:
    log(tmp_path, {"loss": [(10, 2.0), (20, 1.0)], "lr": [(10, 0.1)], "val/top1": [(0, 50.0), (0, 60.0), (0, 70.0)]})
    loss, top1 = read_training_curves(tmp_path)
    assert loss == ("loss", "step", [10, 20], [2.0, 1.0])
    assert top1 == ("val/top1", "validation", [1, 2, 3], [50.0, 60.0, 70.0])


def test_validations_that_are_logged_by_epoch_say_so(tmp_path: Path) -> None:
    log(tmp_path, {"loss": [(10, 2.0), (20, 1.0)], "epoch": [(10, 1.0), (20, 2.0)], "val/top1": [(1, 50.0), (2, 60.0)]})
    assert [(curve.name, curve.x_unit) for curve in read_training_curves(tmp_path)] == [
        ("loss", "step"),
        ("val/top1", "epoch"),
    ]


def test_a_resumed_run_keeps_the_newest_value_of_a_step(tmp_path: Path) -> None:
    log(tmp_path, {"loss": [(10, 2.0), (20, 9.0)]}, "1")
    log(tmp_path, {"loss": [(20, 1.0), (30, 0.5)]}, "2")
    assert read_training_curves(tmp_path)[0].y == [2.0, 1.0, 0.5]


def test_long_curves_are_thinned_and_keep_their_end(tmp_path: Path) -> None:
    log(tmp_path, {"loss": [(i, float(i)) for i in range(1000)]})
    (loss,) = read_training_curves(tmp_path)
    assert len(loss.x) <= MAX_CURVE_POINTS + 1
    assert (loss.x[0], loss.x[-1]) == (0, 999)


def test_a_torn_log_and_no_log(tmp_path: Path) -> None:
    assert read_training_curves(tmp_path) == []
    path = log(tmp_path, {"loss": [(i, 1.0) for i in range(50)]})
    path.write_bytes(path.read_bytes()[:-7])
    assert len(read_training_curves(tmp_path)[0].x) == 49


def test_only_small_real_pictures_go_in_while_the_budget_lasts(tmp_path: Path) -> None:
    home = tmp_path / "pictures"
    home.mkdir()
    (home / "a.png").write_bytes(PNG)
    (home / "b.png").write_bytes(PNG + b"x")
    (home / "evil.png").write_bytes(b"<svg onload=alert(1)>")
    (home / "large.png").write_bytes(PNG + bytes(MAX_PICTURE_BYTES))
    (home / "link.png").symlink_to(tmp_path / "secret")
    assert encode_run_pictures(tmp_path, 10**6) == [
        (name, f"data:image/png;base64,{base64.b64encode(content).decode()}")
        for name, content in (("a", PNG), ("b", PNG + b"x"))
    ]
    assert [name for name, _ in encode_run_pictures(tmp_path, len(PNG) + 21)] == ["a"]
    assert encode_run_pictures(tmp_path / "nowhere", 10**6) == []


def test_a_page_takes_in_the_newest_runs_first(tmp_path: Path, monkeypatch: object) -> None:
    for day in (1, 2):
        folder = tmp_path / str(day)
        write_run(folder, "a", [True, False], str(day), seed=day, started=f"2026-01-0{day}T00:00:00+00:00")
        (folder / "pictures").mkdir()
        (folder / "pictures" / "a.png").write_bytes(PNG)
        log(folder, {"loss": [(1, 1.0)]})
    monkeypatch.setattr(data, "PICTURE_BUDGET_BYTES", len(PNG) + 1)  # type: ignore[attr-defined]
    monkeypatch.setattr(data, "MAX_RUNS_WITH_CURVES", 1)  # type: ignore[attr-defined]
    runs = {run["seed"]: run for run in build_page_data(build_report(scan_runs([tmp_path])))["runs"]}
    assert "pictures" in runs[2]
    assert "curves" in runs[2]
    assert "pictures" not in runs[1]
    assert "curves" not in runs[1]


def test_analyses_are_shown_and_what_they_say_is_text() -> None:
    page = render_page(
        build_report(ScanResult([], [])),
        [AnalysisPanel("cka: <b>a</b>", "note & more", [("heat", "data:image/png;base64,AA==")])],
    )
    assert "cka: &lt;b&gt;a&lt;/b&gt;" in page and "<b>a</b>" not in page
    assert "note &amp; more" in page and 'src="data:image/png;base64,AA=="' in page
    assert ">Analyses</h2>" not in render_page(build_report(ScanResult([], [])))
