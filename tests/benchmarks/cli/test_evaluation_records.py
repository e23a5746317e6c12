"""Every verb on records of finished models, written by hand: what can be checked is, and nothing is taken for a run."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from benchmarks.evaluation import evaluate_model
from benchmarks.listing import list_protocols
from benchmarks.run_cell import CellResult
from benchmarks.task_registry import TASKS
from engine.evaluation.contract import TestOnlyTask
from engine.task import DataReport, DecodeLevel
from results.records.identity import AS_IS
from results.records.store import read_record
from tests.results.make_evaluations import write_evaluation

TestOnlyTask.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test

RIGHT = [number % 10 != 0 for number in range(100)]


def write_store(store: Path) -> dict[str, Path]:
    """One model by two runtimes; the folders are named as ``bench evaluate`` names them."""
    found = {}
    for runtime in ("torch", "openvino"):
        arguments = {} if runtime == "torch" else {"runtime": runtime, "precision": "int8"}
        folder, record = write_evaluation(store / "digits" / runtime, "vit_nano", RIGHT, arguments)
        named = folder.rename(folder.with_name(f"vit_nano-{AS_IS}-{record.run_id}"))
        command = ["bench", "evaluate", "digits", "--backbone", "vit_nano"]
        command += [] if runtime == "torch" else ["--runtime", runtime, "--precision", "int8"]
        environment = record.environment.model_copy(update={"command": command})
        (named / "record.json").write_text(record.model_copy(update={"environment": environment}).model_dump_json())
        found[runtime] = named
    return found


def verify(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and the state and message of each check of one record."""
    capsys.readouterr()
    code = main(["verify", *words, "--json"])
    found = json.loads(capsys.readouterr().out)[0]
    return code, {check["subject"]: (check["state"], check["message"]) for check in found["checks"]}


def test_what_follows_from_the_files_is_checked_and_the_rest_is_left_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_store(tmp_path / "runs")["openvino"]
    code, checks = verify(capsys, str(folder))
    assert code == 0
    for subject in ("run_id", "comparability", "folder", "items.csv", "top1", "command"):
        assert checks[subject][0] == "holds", checks[subject]
    assert checks["model, data and settings"] == (
        "unchecked",
        "only the model says what they have to be; --rerun-eval opens it again and compares",
    )
    # the items are those of no digits, which without the model proves nothing
    assert checks["items"][0] == "unchecked"


def test_predictions_are_those_of_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_store(tmp_path / "runs")["openvino"]
    found = [row.split(",") for row in (folder / "items.csv").read_text().splitlines()]
    column = found[0].index("prediction")
    rows = ["file,class,index", *(f"{row[0]},{row[column]},{row[column]}" for row in found[1:])]
    (folder / "predictions.csv").write_text("\n".join(rows))
    _, checks = verify(capsys, str(folder))
    assert checks["predictions.csv"][0] == "holds"
    (folder / "predictions.csv").write_text("\n".join([rows[0], rows[1].rpartition(",")[0] + ",77", *rows[2:]]))
    code, checks = verify(capsys, str(folder))
    assert code == 1 and checks["predictions.csv"][0] == "fails"


def test_a_command_of_another_runtime_or_verb_contradicts_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_store(tmp_path / "runs")["openvino"]
    record = read_record(folder)
    for words, fault in (
        (["evaluate", "digits"], "runtime 'openvino', not torch; precision 'int8', not f32"),
        (["run", "digits", "--backbone", "vit_nano"], "protocol as_is, which bench run does not write"),
    ):
        environment = record.environment.model_copy(update={"command": ["bench", *words]})
        (folder / "record.json").write_text(record.model_copy(update={"environment": environment}).model_dump_json())
        code, checks = verify(capsys, str(folder))
        assert code == 1 and checks["command"][0] == "fails" and fault in checks["command"][1]


def test_evaluating_again_compares_number_and_items(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_store(tmp_path / "runs")["torch"]
    worse, _ = write_evaluation(tmp_path / "again", "vit_nano", [False, *RIGHT[1:-1], False])
    asked = []

    def answer(request: evaluate_model.EvaluationRequest) -> CellResult:
        asked.append(request)
        other = worse if len(asked) > 1 else folder
        return CellResult(other, read_record(other), False)

    monkeypatch.setattr(evaluate_model, "evaluate_model", answer)
    code, checks = verify(capsys, str(folder), "--rerun-eval")
    assert code == 0 and checks["top1 run again"][0] == "holds" and checks["items run again"][0] == "holds"
    assert checks["model, data and settings"][0] == "holds"
    assert asked[0].force_new and asked[0].source.backbone == "vit_nano" and asked[0].out != tmp_path / "runs"
    code, checks = verify(capsys, str(folder), "--rerun-eval")
    assert code == 1 and checks["top1 run again"][0] == "fails" and "1 of 100 rows" in checks["items run again"][1]


def test_the_files_of_an_export_are_those_that_were_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_store(tmp_path / "runs")["openvino"]
    path, graph = folder / "record.json", folder / "export" / "openvino-int8" / "model.xml"
    record = json.loads(path.read_text())
    stated = {"model.xml": hashlib.sha256(b"graph").hexdigest(), "../../items.csv": "0" * 64, "model.bin": "1" * 64}
    record["result"]["details"] = {"export": {"files": stated}, "exports": {"../..": {"files": [1]}}}
    path.write_text(json.dumps(record))
    assert not [subject for subject in verify(capsys, str(folder))[1] if "export" in subject], "archives have none"
    graph.parent.mkdir(parents=True)
    graph.write_bytes(b"graph")
    code, checks = verify(capsys, str(folder))
    assert code == 0 and checks["export model.xml"][0] == "holds"
    assert {subject for subject in checks if "export" in subject} == {"export model.xml"}
    graph.write_bytes(b"graph of somebody else")
    code, checks = verify(capsys, str(folder))
    assert code == 1 and checks["export model.xml"][0] == "fails" and "was scored" in checks["export model.xml"][1]


def test_no_check_executes_the_config_that_a_record_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, trap = write_store(tmp_path / "runs")["torch"], tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'executed')!r}, 'w').close()")
    record = read_record(folder)
    command = ["bench", "evaluate", "digits", "--config", str(trap), "--checkpoint", "x.pth"]
    environment = record.environment.model_copy(update={"command": command})
    (folder / "record.json").write_text(record.model_copy(update={"environment": environment}).model_dump_json())
    _, checks = verify(capsys, str(folder), "--rerun-eval")
    assert checks["evaluation"][0] == "unchecked" and "config file, which is code" in checks["evaluation"][1]
    assert not (tmp_path / "executed").exists()


def test_lists_tables_and_archives_have_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = write_store(tmp_path / "runs")
    runs = str(tmp_path / "runs")
    assert main(["list", "runs", "--runs", runs]) == 0
    capsys.readouterr()
    assert main(["show", "run", str(folders["openvino"])]) == 0
    shown = capsys.readouterr().out
    assert "one image: 5.00 ms, a chip, 1 thread, openvino, int8" in shown and "\nseed:" not in shown
    assert main(["items", "--task", "digits", "--runs", runs, "--out", str(tmp_path / "items.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "items.csv").open(newline="")))
    assert {row["start"].partition(", ")[2] for row in rows} == {"", "openvino int8"}
    assert main(["table", "--runs", runs, "--html", str(tmp_path / "page")]) == 0
    assert main(["pack", runs, "-o", str(tmp_path / "runs.tar.gz")]) == 0
    assert main(["merge", str(tmp_path / "runs.tar.gz"), "--out", str(tmp_path / "merged")]) == 0
    capsys.readouterr()
    assert main(["table", "--runs", str(tmp_path / "merged")]) == 0
    table = capsys.readouterr().out
    assert "## digits · as_is · full" in table and "| vit_nano (openvino int8) |" in table
    page = (tmp_path / "page" / "index.html").read_text()
    assert 'name="tier" value="as_is"' in page and "vit_nano (openvino int8)" in page


def test_rows_of_one_model_are_compared_by_runtime_or_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = write_store(tmp_path / "runs")
    # a board on which the other one is not does not matter
    for runtime in ("torch", "openvino"):
        write_evaluation(tmp_path / "runs/else" / runtime, "vit_nano", RIGHT, {"runtime": runtime}, task="else")
    other, _ = write_evaluation(tmp_path / "runs/digits/other", "vit_pico", [number % 2 == 0 for number in range(100)])
    runs = ("--runs", str(tmp_path / "runs"))
    assert main(["compare", "vit_nano", "vit_pico", *runs]) == 2
    assert "in 2 rows (card 7669745f; card 7669745f, openvino int8); name two runs" in capsys.readouterr().err
    assert main(["compare", str(folders["openvino"]), str(other), *runs]) == 0
    capsys.readouterr()
    assert main(["compare", "vit_nano@openvino", "vit_pico", *runs]) == 0
    text = capsys.readouterr().out
    assert "  vit_nano (openvino int8): 90.00 %\n" in text, "no seed is named, as nothing was drawn"
    assert text.splitlines()[4].endswith(", resolved"), "the items alone decide about a finished model"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "digits", "--backbone", "vit_nano", "--protocol", "as_is"),
        ("plan", "--tasks", "digits", "--backbones", "vit_nano", "--protocols", "as_is"),
        ("sweep", "--tasks", "digits", "--backbones", "vit_nano", "--protocols", "knn", "as_is"),
    ],
)
def test_a_run_of_the_protocol_names_bench_evaluate(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--out", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert "protocol as_is tests a finished model" in error and "use bench evaluate digits" in error
    assert not (tmp_path / "runs").exists()


class ExamTask(TestOnlyTask):
    """A set for tests alone, in the domain of the digits."""

    name = "exam"
    domain = "classification"
    summary = "for tests"
    metrics = ()

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Three items."""
        return DataReport("a" * 64, {"test": 3})


@pytest.fixture
def exam(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry has the task."""
    TASKS.get("digits")  # freezes the registry
    target = TASKS._targets["digits"]._replace(target_path=f"{__name__}:ExamTask")
    monkeypatch.setitem(TASKS._targets, "exam", target)
    monkeypatch.setitem(TASKS._loaded, "exam", ExamTask())


@pytest.mark.usefixtures("exam")
def test_nothing_is_trained_on_a_set_for_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", str(tmp_path / "runs"))
    for words in (
        ("run", "exam", "--backbone", "vit_nano"),
        ("plan", "--tasks", "exam", "--backbones", "vit_nano"),
        ("sweep", "--tasks", "digits", "exam", "--backbones", "vit_nano"),
    ):
        assert main([*words, *out]) == 2
        assert "exam is a test set, and nothing is trained on it; use bench evaluate exam" in capsys.readouterr().err
    assert [row for row in list_protocols() if row["task"] == "exam"] == [
        {"task": "exam", "protocol": "as_is", "default": False}
    ]


@pytest.mark.usefixtures("exam")
def test_a_matrix_over_a_domain_leaves_it_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text('[[cells]]\ndomain = "classification"\nbackbones = ["vit_nano"]\nprotocols = ["knn"]\n')
    # a calibration would stay in the cache of the tests
    words = (
        "plan",
        "--no-calibration",
        "--file",
        str(suite),
        "--json",
        "--data-root",
        str(tmp_path),
        "--out",
        str(tmp_path / "runs"),
    )
    main(list(words))
    assert {cell["task"] for cell in json.loads(capsys.readouterr().out)["cells"]} == {"digits"}
