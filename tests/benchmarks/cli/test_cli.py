"""The command line as its users meet it: listings, bad input, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.cli.main import main
from benchmarks.cli.verbs import VERBS
from tests.conftest import ROOT, Bench
from tests.results.make import FIXTURE

RUN = ("run", "digits", "--backbone", "vit_nano", "--tier", "smoke")
LISTINGS = ("tasks", "backbones", "protocols", "pretraining", "suites")
Files = Callable[[Path], list[str]]


def imported_by(*words: str) -> set[str]:
    """The modules that a command line imports."""
    start = f"import sys; from benchmarks.cli.main import main; main({list(words)!r})"
    code = f"{start}; sys.stderr.write(repr(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return set(eval(done.stderr.strip().splitlines()[-1]))


# suites are read by pydantic
@pytest.mark.parametrize("words", [("--help",), *(("list", noun) for noun in LISTINGS if noun != "suites")])
def test_listings_import_nothing_heavy(words: tuple[str, ...]) -> None:
    heavy = {"torch", "timm", "mmengine", "pydantic", "scipy", "sklearn", "cv2", "numpy", "rich"}
    assert not imported_by(*words) & heavy


def test_table_imports_no_torch(tmp_path: Path) -> None:
    assert not imported_by("table", "--runs", str(tmp_path)) & {"torch", "timm", "mmengine", "sklearn"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert VERBS[verb].example in capsys.readouterr().out


@pytest.mark.parametrize("noun", LISTINGS)
def test_listings_in_json(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", noun, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = {row.get("name", row.get("task")) for row in rows}
    assert {"backbones": "vit_nano", "pretraining": "mae", "suites": "frozen"}.get(noun, "digits") in names


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bench 0.")


def a_pickle_with_code(folder: Path) -> list[str]:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {folder / 'ran'}",)

    torch.save({"model": Bomb()}, folder / "bomb.pth")
    return ["--checkpoint", str(folder / "bomb.pth")]


def a_text_file(folder: Path) -> list[str]:
    (folder / "notes.pth").write_text("these are not weights")
    return ["--checkpoint", str(folder / "notes.pth")]


def a_model_of_another_width(folder: Path) -> list[str]:
    import timm

    torch.save(timm.create_model("test_vit").state_dict(), folder / "other.pth")
    return ["--checkpoint", str(folder / "other.pth")]


def a_file_as_out(folder: Path) -> list[str]:
    (folder / "file").write_text("")
    return ["--out", str(folder / "file")]


BAD: list[tuple[tuple[str, ...], Files | None, str]] = [
    (("run", "digts", "--backbone", "vit_nano"), None, "unknown task 'digts'; did you mean digits?"),
    (("run", "digits", "--backbone", "vit_nan"), None, "unknown backbone 'vit_nan'; did you mean vit_nano"),
    (("run", "digits", "--backbone", "timm/vit_tinyy"), None, "timm has no model 'vit_tinyy'; did you mean vit_tiny_"),
    (("run", "digits"), None, "the following arguments are required: --backbone"),
    ((*RUN, "--protocol", "finetun"), None, "no protocol 'finetun'; did you mean finetune?"),
    ((*RUN, "--set", "optimizer.lrr=1"), None, "unknown configuration key 'optimizer.lrr'; did you mean optimizer.lr"),
    ((*RUN, "--set", "epochs=-3"), None, "epochs: Input should be greater than 0, not -3"),
    ((*RUN, "--set", "epochs=many"), None, "epochs: "),
    ((*RUN, "--seeds", "-1"), None, "--seeds: must be a whole number, 0 or above, not '-1'"),
    ((*RUN, "--tier", "huge"), None, "invalid choice: 'huge'"),
    ((*RUN, "--checkpoint", "nowhere/model.pth"), None, "there is no checkpoint at nowhere/model.pth"),
    ((*RUN, "--checkpoint", "."), None, "the checkpoint . is a folder"),
    (RUN, a_text_file, "is not a checkpoint that torch or safetensors can read"),
    (RUN, a_pickle_with_code, "which bench refuses because it can run code"),
    (RUN, a_model_of_another_width, "does not fit the backbone"),
    (RUN, a_file_as_out, "cannot write to the output folder"),
    (("rum",), None, "unknown command 'rum'; did you mean run?"),
    (("list", "things"), None, "invalid choice: 'things'"),
    (("show", "backbone", "vit_nan"), None, "unknown backbone 'vit_nan'"),
    (("show", "run", "abc", "--runs", "."), None, "no run 'abc'"),
    (("table", "--runs", "nowhere"), None, "no folder of runs at nowhere"),
    (("get", "weights", "mae_tiny"), None, "the weights of mae_tiny are fetched by hand (wangsr126/MAE-Lite"),
    (("get", "weights", "vit_nano"), None, "vit_nano has no weights to get: it starts from random ones"),
    (("run", "digits", "--backbone", "mae_distill_tiny"), None, "put mae_tiny_distill_400e.pth.tar into"),
    (("profile", "vit_nano", "--img-size", "33"), None, "multiples of 8 px, not 33 x 33"),
    (("check", "backbone", "vit_nan"), None, "unknown backbone 'vit_nan'"),
]


@pytest.mark.parametrize(("words", "prepare", "message"), BAD, ids=[" ".join(bad[0][-2:]) + bad[2][:12] for bad in BAD])
def test_bad_input_is_one_sentence_and_exit_2(
    words: tuple[str, ...],
    prepare: Files | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    more = prepare(tmp_path) if prepare else []
    assert main([*words, *more]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert not list(tmp_path.rglob("record.json")), "nothing was written"
    assert not (tmp_path / "ran").exists(), "the pickle's code did not run"


def test_debug_shows_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "task", "nothing", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_is_exit_1_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import listing

    monkeypatch.setattr(listing, "list_tasks", lambda: 1 / 0)
    assert main(["list", "tasks"]) == 1
    err = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: division by zero; run again with --debug" in err
    assert "Traceback" not in err


def test_foreign_code_that_calls_exit_is_no_success(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import listing

    monkeypatch.setattr(listing, "list_tasks", lambda: sys.exit(0))
    assert main(["list", "tasks"]) == 1
    assert capsys.readouterr().err.startswith("bench: unexpected SystemExit: 0")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_works_without_the_standard_streams(closed: str) -> None:
    """A daemon may start it so; a sweep would have ended at its first message or, hours later, at its table."""
    command = f"{sys.executable} -m litevit_bench list tasks {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def corrupt_store(folder: Path) -> Path:
    good, bad = folder / "good", folder / "bad"
    for path in (good, bad):
        path.mkdir()
    (good / "record.json").write_text(FIXTURE.read_text())
    (bad / "record.json").write_text(FIXTURE.read_text()[:400])
    return folder


def test_a_corrupt_record_is_named_skipped_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corrupt_store(tmp_path)
    assert main(["table", "--runs", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "97.77" in said.out
    assert f"warning: left out of the table: {tmp_path / 'bad' / 'record.json'} is not a record" in said.err
    assert (tmp_path / "bad" / "record.json").exists()
    assert main(["list", "runs", "--runs", str(tmp_path)]) == 0
    assert "BROKEN" in capsys.readouterr().out


def test_a_corrupt_record_in_the_way_of_a_run(tmp_path: Path, bench: Bench) -> None:
    first = bench(*RUN, "--out", str(tmp_path))
    assert first.returncode == 0, first.stderr
    (path,) = tmp_path.rglob("record.json")
    path.write_text("{")
    second = bench(*RUN, "--out", str(tmp_path))
    assert second.returncode == 2
    assert f"{path} is not a record" in second.stderr
    assert "--fresh" in second.stderr
    assert path.read_text() == "{"


@pytest.mark.parametrize("format_", ["markdown", "csv"])
def test_table_formats(format_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corrupt_store(tmp_path)
    assert main(["table", "--runs", str(tmp_path), "--format", format_]) == 0
    assert ("| vit_nano" if format_ == "markdown" else ",vit_nano,") in capsys.readouterr().out


def test_show_run_by_id_and_by_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corrupt_store(tmp_path)
    for name in ("099ae3ea", str(tmp_path / "good")):
        assert main(["show", "run", name, "--runs", str(tmp_path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["run_id"] == "099ae3ea0c2bceaa"


def test_what_a_verb_imports_may_fail_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """NumPy ends with a ``ValueError`` where ``SOURCE_DATE_EPOCH`` is no number."""

    def fail_import(name: str) -> None:
        raise ValueError(f"invalid literal: {name}")

    monkeypatch.setattr("benchmarks.cli.main.load_verb", fail_import)
    assert main(["table"]) == 1
    says = "bench: unexpected ValueError: invalid literal: table; run again with --debug for the trace\n"
    assert capsys.readouterr().err == says
