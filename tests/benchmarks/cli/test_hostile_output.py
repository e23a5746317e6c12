"""No command passes a control character on to the terminal, whatever a record, a file or the user's words hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.cli.format_cell import format_cell
from benchmarks.cli.main import main
from benchmarks.doctor import Finding
from benchmarks.run_cell import CellResult
from engine.progress_bar import ProgressBar, log_message
from engine.task import DataReport
from results.records.store import read_record
from tests.foundation.test_display_text import DANGEROUS
from tests.results.make import write_digits_run

HOSTILE = "x\x1b[2J\x9b31m\u202ey\u2028z\r"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "s\x1b[31m\u202e"
    for seed, name in enumerate((f"{HOSTILE}a", f"{HOSTILE}b")):
        write_digits_run(folder / f"{seed}\x1b]0;t\x07", name, [item % 7 != seed for item in range(40)])
    (folder / "broken\x1b[2J").mkdir()
    (folder / "broken\x1b[2J" / "record.json").write_text('{"schema_version": 1, "a\u202e\\u001b": 1}')
    return folder


def read_clean(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert not set(DANGEROUS) & set(out + err)
    return out + err


@pytest.mark.parametrize("form", ["markdown", "csv", "latex", "json"])
def test_tables(form: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--runs", str(store), "--format", form]) == 0
    assert "left out of the table" in read_clean(capsys)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_runs(form: tuple[str, ...], store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (str(store / f"{seed}\x1b]0;t\x07") for seed in range(2))
    for words in (
        ("list", "runs", "--runs", str(store)),
        ("show", "run", first),
        ("compare", first, second),
        ("verify", first),
    ):
        main([*words, *form])
        said = read_clean(capsys)
        if form and words[0] == "list":
            assert {row.get("backbone") for row in json.loads(said)} == {f"{HOSTILE}a", f"{HOSTILE}b", None}
        assert "\\u001b" in said


@pytest.mark.parametrize(
    "words",
    [
        ("show", "run", HOSTILE),
        ("show", "backbone", HOSTILE),
        ("show", "task", HOSTILE, "--debug"),
        (HOSTILE,),
        ("list", HOSTILE),
        ("table", f"--{HOSTILE}"),
        ("table", "--runs", HOSTILE),
        ("verify", HOSTILE),
        ("run", HOSTILE, "--backbone", "vit_nano"),
        ("run", "digits", "--backbone", HOSTILE),
        ("run", "digits", "--backbone", "vit_nano", "--set", f"{HOSTILE}=1"),
        ("run", "digits", "--backbone", "vit_nano", "--protocol", HOSTILE),
        ("run", "digits", "--backbone", "vit_nano", "--checkpoint", HOSTILE),
        ("compare", HOSTILE, HOSTILE),
        ("check", "data", HOSTILE),
        ("get", "weights", HOSTILE),
    ],
)
def test_errors(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words]) == 2
    assert read_clean(capsys)


def test_lines_of_a_run_and_its_progress(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store / "0\x1b]0;t\x07"
    said = format_cell(CellResult(folder, read_record(folder), False))
    assert not set(DANGEROUS) & set(said) and len(said.splitlines()) == 2
    log_message(HOSTILE)
    with ProgressBar(HOSTILE, "frames", 2) as bar:
        bar.log_message(HOSTILE)
        monkeypatch.setattr("engine.progress_bar.LOG_INTERVAL_SECONDS", -1.0)
        bar.advance(HOSTILE)
    assert read_clean(capsys).count("\\u202e") >= 4


def test_a_bar_on_a_terminal_shows_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressBar("[red]name[/red]\x1b]0;t\x07", "frames", 2) as bar:
        bar._console = Console(stderr=True, force_terminal=True)
        bar.advance("[link=https://a.b]note[/link]\u202e")
        assert bar._bar is not None
        shown = [column.render(bar._bar.tasks[0]) for column in bar._bar.columns[:1]]
    assert str(shown[0]) == "[red]name[/red]\\u001b]0;t\\u0007"


def test_a_record_file_holds_no_raw_control_character(store: Path) -> None:
    path = store / "0\x1b]0;t\x07" / "record.json"
    assert not set(DANGEROUS) & set(path.read_text())
    assert read_record(path.parent).backbone.name == f"{HOSTILE}a"


def test_a_line_break_in_a_name_begins_no_line(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where bench check data writes its contact sheet
    broken = tmp_path / "s\nforged: line"
    store.rename(broken)
    faults = [{"name": "x", "error": "no module\nforged: line"}]
    monkeypatch.setattr("benchmarks.listing.list_tasks", lambda: faults)
    report = DataReport("f", {"test": 1}, notes=("a\nforged: line",), deviations=("b\nforged: line",))
    monkeypatch.setattr("classification.digits_task.DigitsTask.check_data", lambda *_: report)
    finding = Finding("plug-in", "bad", "x", "uninstall a\nforged: line")
    monkeypatch.setattr("benchmarks.cli.setup.doctor.diagnose_environment", lambda *_: [finding])
    for words in (
        ("list", "tasks"),
        ("list", "runs", "--runs", str(broken)),
        ("table", "--runs", str(broken), "--html", str(broken / "page")),
        ("verify", str(broken)),
        ("check", "data", "digits"),
        ("doctor",),
    ):
        main([*words])
        said = capsys.readouterr()
        assert "forged: line" in said.out, words
        assert "\nforged: line" not in said.out + said.err, words
