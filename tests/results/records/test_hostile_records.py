"""One bad record never stops a command for a store: it is one sentence, and everything else is there as before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.cli.main import main
from foundation.errors import RecordError
from results.records.record import parse_record
from results.records.store import read_record
from results.store_index.faulty_runs import build_without_faulty
from tests.foundation.test_display_text import DANGEROUS
from tests.results.make import make_record
from tests.results.records.hostile import BAD_RECORDS, NAMES, BadRecord, write_bad_record, write_sound_runs


class HostileStore(NamedTuple):
    """A store with sound runs and every bad record, and the folder of each of these by its name."""

    root: Path
    bad: dict[str, Path]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> HostileStore:
    root = tmp_path_factory.mktemp("hostile") / "runs"
    sound = write_sound_runs(root)
    return HostileStore(
        root, {bad.name: write_bad_record(root, sound, number, bad) for number, bad in enumerate(BAD_RECORDS)}
    )


class Said(NamedTuple):
    """What a command wrote: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command in this process; whatever it says has no control character, and no trace."""

    def run_command(*words: str | Path) -> Said:
        code = main([str(word) for word in words])
        said = Said(code, *capsys.readouterr())
        assert not set(DANGEROUS) & set(said.out + said.err)
        assert "Traceback" not in said.out + said.err
        return said

    return run_command


def list_sentences(store: HostileStore, lines: str) -> dict[str, str]:
    """The line about each bad record, by its name; every one has exactly one."""
    found = {}
    for name, folder in store.bad.items():
        (found[name],) = [line for line in lines.splitlines() if str(folder) in line] or [""]
    return found


def check_sentences(store: HostileStore, lines: str) -> None:
    """Every bad record has one line, which says what is wrong and is no flood."""
    sentences = list_sentences(store, lines)
    for bad in BAD_RECORDS:
        assert bad.says in sentences[bad.name], (bad.name, sentences[bad.name][:500])
        assert len(sentences[bad.name]) < 1_000, bad.name
        assert not re.search(r"unexpected \w+:", sentences[bad.name]), "a check foresaw it"


@pytest.mark.parametrize("bad", BAD_RECORDS, ids=lambda bad: bad.name)
def test_a_bad_record_is_refused_in_one_sentence(bad: BadRecord, store: HostileStore) -> None:
    with pytest.raises(RecordError) as caught:
        read_record(store.bad[bad.name])
    assert bad.says in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("form", ["markdown", "csv", "latex", "json", "html", "parquet", "chosen"])
def test_tables(form: str, store: HostileStore, tmp_path: Path, run: Callable[..., Said]) -> None:
    extra = {
        "html": ("--html", tmp_path),
        "parquet": ("--format", "parquet", "--out", tmp_path / "t"),
        "chosen": ("--task", "digits"),  # which reads through the index
    }.get(form, ("--format", form))
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="the extra [parquet]")
    said = run("table", "--runs", store.root, *extra)
    assert said.code == 0
    check_sentences(store, said.err)
    shown = (tmp_path / "index.html").read_text() if form == "html" else said.out
    assert form == "parquet" or all(name in shown.replace("\\", "") for name in NAMES)


def test_lists_of_runs(store: HostileStore, run: Callable[..., Said]) -> None:
    for _ in range(2):  # the second time from the index
        said = run("list", "runs", "--runs", store.root)
        assert said.code == 0
        check_sentences(store, said.out)
    rows = json.loads(run("list", "runs", "--runs", store.root, "--json").out)
    assert len([row for row in rows if row["error"] is None]) == 4
    assert len(rows) == 4 + len(BAD_RECORDS)


def test_verify(store: HostileStore, run: Callable[..., Said]) -> None:
    said = json.loads(run("verify", store.root, "--json").out)
    about_files = [check for place in said if place.get("record") == str(store.root) for check in place["checks"]]
    check_sentences(store, "\n".join(check["message"] for check in about_files))
    assert {check["state"] for check in about_files} == {"fails"}
    checks = {place["record"]: place["checks"] for place in said if "record" in place}
    sound = [each for folder, each in checks.items() if Path(folder).name.startswith("sound_")]
    assert len(sound) == 4
    assert all({"subject": "run_id", "state": "holds"}.items() <= each[0].items() for each in sound)


def test_comparisons_choices_and_items(store: HostileStore, tmp_path: Path, run: Callable[..., Said]) -> None:
    said = run("compare", *NAMES, "--runs", store.root)
    assert said.code == 0 and "difference" in said.out
    said = run("choose", "--task", "digits", "--under", "1Mparams", "--protocol", "finetune", "--runs", store.root)
    assert said.code == 0 and "sound_a" in said.out
    check_sentences(store, said.err)
    said = run("items", "--runs", store.root, "--out", tmp_path / "items.csv")
    assert said.code == 0 and "of 4 runs" in said.out
    check_sentences(store, said.err)


def test_what_takes_a_whole_store_names_every_record(
    store: HostileStore, tmp_path: Path, run: Callable[..., Said]
) -> None:
    for words in (("pack", store.root, "-o", tmp_path / "all.tar"), ("merge", store.root, "--out", tmp_path / "all")):
        said = run(*words)
        assert said.code == 2 and len(said.err.splitlines()) == 1
        assert not (tmp_path / "all").exists() and not (tmp_path / "all.tar").exists()
    said = run("submit", store.root)
    assert said.code == 1 and "Traceback" not in said.err


def test_showing_a_bad_run_is_one_sentence(store: HostileStore, run: Callable[..., Said]) -> None:
    for name in ("deep settings", "a pipe", "a device", "long seed", "items with NUL"):
        said = run("show", "run", store.bad[name])
        assert said.code == 2 and len(said.err.splitlines()) == 1 and "unexpected" not in said.err, said.err


def test_one_record_of_another_direction_does_not_take_the_board(tmp_path: Path, run: Callable[..., Said]) -> None:
    sound = write_sound_runs(tmp_path)
    sound["result"]["metrics"]["top1"]["higher_is_better"] = False
    sound["run_id"] = "0" * 16
    edited = tmp_path / "digits" / "edited"
    edited.mkdir()
    (edited / "record.json").write_text(json.dumps(sound))
    said = run("table", "--runs", tmp_path)
    assert said.code == 0 and all(
        name.replace("_", "") in said.out.replace("\\", "").replace("_", "") for name in NAMES
    )
    assert f"{edited}: other records of its board state another direction of top1" in said.out.replace("\\", "")


def fail_for_the_first(what: Callable[..., Any], place: int = 0) -> Callable[..., Any]:
    """A function that has a bug for ``sound_a`` with seed 0."""

    def call(*arguments: Any, **options: Any) -> Any:
        record = arguments[place]
        records = [record] if hasattr(record, "seed") else [each for row in record.table.boards for each in row.rows]
        if any("sound_a" in repr(each) and "seed=0" in repr(each) for each in records):
            raise ZeroDivisionError("division by zero")
        return what(*arguments, **options)

    return call


@pytest.mark.parametrize("debug", [False, True])
def test_a_bug_in_one_record_is_a_sentence_with_its_type(
    debug: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.verify import verify_records
    from results.store_index import read_runs

    write_sound_runs(tmp_path)
    for module, name in ((read_runs, "encode_run"), (verify_records, "check_recorded_command")):
        monkeypatch.setattr(module, name, fail_for_the_first(getattr(module, name)))
    switch = ["--debug"] if debug else []
    for words, code in ((["table", "--task", "digits", "--runs"], 0), (["list", "runs", "--runs"], 0), (["verify"], 1)):
        assert main([*words, str(tmp_path), *switch]) == code
        out, err = capsys.readouterr()
        (line,) = (line for line in (out + err).splitlines() if "division by zero" in line and "unexpected" in line)
        assert "unexpected ZeroDivisionError: division by zero" in line
        assert ("Traceback" in err) == debug
        assert words[0] == "verify" or f"cannot list the run in {tmp_path}/digits/sound_a-finetune" in line
        assert "sound_b" in out.replace("\\", "")


def test_a_run_that_no_renderer_can_show_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from results.leaderboard.render import markdown

    write_sound_runs(tmp_path)
    monkeypatch.setattr(markdown, "to_markdown", fail_for_the_first(markdown.to_markdown))
    assert main(["table", "--runs", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.replace("\\", "").count("sound_b") >= 1 and "sound_a" in out.replace("\\", ""), "its other seed stays"
    assert re.search(
        r"left out of the table: cannot use the run in \S+sound_a-finetune-full-seed0-\w+: unexpected ZeroDiv", err
    )


def test_what_fails_with_no_single_run_is_still_an_error() -> None:
    runs = [(Path(str(seed)), make_record(seed=seed)) for seed in range(3)]

    def build(some: Any) -> int:
        if len(some) != 1:
            raise ZeroDivisionError
        return len(some)

    errors: list[str] = []
    with pytest.raises(ZeroDivisionError):
        build_without_faulty(runs, build, errors)
    assert errors == []


def test_every_reference_record_still_parses() -> None:
    from tests.conftest import ROOT

    found = sorted((ROOT / "results" / "reference_runs").rglob("record.json"))
    assert len(found) >= 30
    for path in found:
        parse_record(path.read_text(), str(path))
