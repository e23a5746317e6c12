"""``bench show run``: the score first, then what made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.cli.format_run import format_metric
from benchmarks.cli.main import main
from results.records.picture_manifest import PictureEntry, write_picture_manifest
from results.records.record import ConfidenceInterval, MetricValue
from results.records.store import write_record
from tests.results.make import make_backbone_record, make_record


def show_run(folder: Path, capsys: pytest.CaptureFixture[str], **changes: Any) -> list[str]:
    folder.mkdir(exist_ok=True)
    write_record(folder, make_record(**changes))
    assert main(["show", "run", str(folder)]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_score_comes_first_then_what_made_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = make_record().config["recipe"] | {"epochs": 5}
    lines = show_run(tmp_path, capsys, config={"recipe": recipe}, changed_settings=["epochs"])
    assert lines[0] == "top1 97.77 % (95.67 to 98.87, 95 % over images): higher is better, 359 items"
    assert lines[1].startswith("  mean_per_class ")
    assert lines[2] == "digits · finetune · full · epochs=5"
    facts = dict(line.split(": ", 1) for line in lines[3:])
    assert facts["settings"] == "differs from the protocol in: epochs=5"
    assert facts["backbone"].startswith("vit_nano, ") and facts["start"] == "random" and facts["seed"] == "0"
    assert facts["data"].startswith("train ") and "fingerprint" in facts["data"]
    assert facts["board"].startswith(f"key {make_record().comparability}")
    assert "torch" in facts["versions"] and "thread" in facts["machine"] and facts["command"].startswith("bench run")
    assert facts["record"] == f"{tmp_path}/record.json (--json writes all of it)"


def test_json_is_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = make_record()
    write_record(tmp_path, record)
    assert main(["show", "run", str(tmp_path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {name: shown[name] for name in record.model_dump()} == record.model_dump(mode="json")


def test_a_run_without_a_number_begins_with_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = show_run(tmp_path / "b", capsys, status="failed")
    assert lines[0] == "FAILED, 0 of 359 items scored: made up" and lines[1].startswith("digits · finetune")
    for name in "cd":
        (tmp_path / name).mkdir()
    running = make_record(status="failed").model_copy(update={"status": "running", "reason": None})
    write_record(tmp_path / "c", running)
    assert main(["show", "run", str(tmp_path / "c")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "RUNNING, 0 of 359 items scored"
    withdrawn = make_record().model_copy(update={"status": "invalidated", "reason": "wrong labels"})
    write_record(tmp_path / "d", withdrawn)
    assert main(["show", "run", str(tmp_path / "d")]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first == "INVALIDATED, 359 of 359 items scored: wrong labels" and "(withdrawn)" in second


def test_partial_weights_and_the_load_report_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = {"matched": 3, "resized": [], "missing": list("abcdefg"), "unexpected": [], "dropped": []}
    checkpoint = {
        "uri": "weights.pth",
        "sha256": "ab" * 32,
        "bytes": 1,
        "load_report": report | {"matched_fraction": 0.5, "notes": ["a note"]},
    }
    made = {"init": "checkpoint", "allow_partial": True, "checkpoint": checkpoint}
    lines = show_run(tmp_path, capsys, backbone=made)
    (start,) = (line for line in lines if line.startswith("start: "))
    assert start == (
        "start: partial checkpoint weights.pth, sha256 abababababab; 50 % of the backbone loaded; "
        "7 missing: a, b, c, d, e, ...; a note"
    )
    assert "digits · finetune · full · partial weights" in lines


def test_data_that_are_not_official_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_record().data.model_dump() | {"deviations": ["test has 3 images"], "duplicates": ["a = b"]}
    lines = show_run(tmp_path, capsys, data=data)
    assert "digits · finetune · full · not the official data, test items in train" in lines
    assert any("NOT THE OFFICIAL SET: test has 3 images; IN TWO SPLITS: a = b" in line for line in lines)


def test_pictures_are_listed_with_their_titles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    file = tmp_path / "pictures" / "best.png"
    Image.new("RGB", (4, 4)).save(file)
    write_picture_manifest(tmp_path, [PictureEntry(file="best.png", kind="overlay", title="the best\x1b[2J image")])
    monkeypatch.setattr("benchmarks.cli.results.show._draw_pictures", lambda *_: {"pictures": [str(file)]})
    lines = show_run(tmp_path, capsys)
    assert lines[lines.index("pictures:") + 1] == f"  {file} (the best\\u001b[2J image)"


def test_an_id_of_several_attempts_means_the_one_on_the_board(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    write_record(tmp_path / "a", make_backbone_record("a", 90.0, "1", started="2026-01-01T00:00:00+00:00"))
    write_record(tmp_path / "b", make_record(run_id="1", status="failed", started="2026-01-02T00:00:00+00:00"))
    assert main(["show", "run", "1", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("top1 90.00 %")


def test_an_interval_of_a_percentage_is_displayed_within_0_and_100() -> None:
    """Student's t over a few low-shot draws knows no ends; it was displayed as -4.29 to 34.65 %."""
    method = "Student's t, n = 3"
    for unit, text in (("%", "top1 15.00 % (0.00 to 100.00,"), ("dB", "top1 15.00 dB (-4.29 to 134.65,")):
        interval = ConfidenceInterval(low=-4.29, high=134.65, level=0.95, method=method, resampling_unit="draws")
        metric = MetricValue(value=15.0, unit=unit, higher_is_better=True, n=9, interval=interval)
        assert format_metric("top1", metric).startswith(text)


def test_damaged_pictures_are_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "pictures.json").write_text("[]")
    (line,) = (line for line in show_run(tmp_path, capsys) if line.startswith("pictures"))
    assert (
        line
        == f"pictures: none: those in {tmp_path}/pictures cannot be read; remove that folder to have them drawn again"
    )


def test_a_foreign_record_does_not_flood_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_record().data.model_copy(update={"deviations": [f"sentence {number}" for number in range(50_000)]})
    lines = show_run(tmp_path, capsys, status="failed", reason="x" * 1_000_000, data=data)
    assert lines[0].endswith("xxx ... (1,000,000 characters)") and max(map(len, lines)) < 3000
    assert any("NOT THE OFFICIAL SET: and 49,980 more" in line for line in lines)
    assert main(["table", "--runs", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out) < 5000
