"""The functions that users import: typed, lazy, documented, and the same as the command line."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import litevit_bench as bench
from engine.data.data_options import NO_OPTIONS, make_data_options
from litevit_bench._arguments import convert_data_options
from tests.conftest import run_bench

FUNCTIONS = [name for name in bench.__all__ if inspect.isfunction(getattr(bench, name))]


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, litevit_bench; sys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "timm", "mmengine", "pydantic", "numpy", "cv2", "rich"} & set(done.stdout.split())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_documented_and_typed(name: str) -> None:
    function = getattr(bench, name)
    text = inspect.getdoc(function) or ""
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert parameter.name in text, f"{name}({parameter.name}) is not in its docstring"
    if signature.parameters:
        assert "Args:" in text and "Returns:" in text and ("Raises:" in text or name in ("profile", "list_runs"))


def test_a_cell_is_the_same_from_python_and_from_the_command_line(tmp_path: Path) -> None:
    record = bench.run("digits", "vit_pico", protocol="knn", device="cpu", out=tmp_path, seed=1)
    words = ("run", "digits", "--backbone", "vit_pico", "--protocol", "knn", "--device", "cpu", "--seeds", "1")
    done = run_bench(*words, "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)
    assert cell["from_record"] and cell["record"]["run_id"] == record.run_id
    assert {row["run_id"] for row in bench.list_runs(tmp_path)} == {record.run_id}
    (folder, checks), (ledger, _) = bench.verify(tmp_path)
    assert ledger == tmp_path / "ledger"
    assert folder == Path(cell["folder"]) and {check.state for check in checks} <= {"holds", "unchecked"}
    (board,) = bench.table(tmp_path).table.boards
    assert board.rows[0].backbone == "vit_pico"


def test_overrides_keep_their_type(tmp_path: Path) -> None:
    changed = bench.run("digits", "vit_pico", protocol="knn", overrides={"k": 5}, device="cpu", out=tmp_path)
    plain = bench.run("digits", "vit_pico", protocol="knn", device="cpu", out=tmp_path)
    assert changed.config["recipe"]["k"] == 5 and changed.comparability != plain.comparability
    with pytest.raises(bench.UserError, match=r"not comparable|differ"):
        bench.compare(changed.run_id, plain.run_id, tmp_path)
    other = bench.run("digits", "vit_nano", protocol="knn", device="cpu", out=tmp_path)
    (comparison,) = bench.compare("vit_pico", "vit_nano", tmp_path, task="digits")
    values = [each.result.metrics["top1"].value for each in (plain, other) if each.result]
    assert comparison.difference == pytest.approx(values[0] - values[1])


def test_errors_are_those_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(bench.BenchError, match="no protocol 'nearest'"):
        bench.run("digits", "vit_pico", protocol="nearest", out=tmp_path)
    with pytest.raises(bench.UserError, match="no folder of runs"):
        bench.table(tmp_path / "nothing")


WRONG = {
    "tier cannot be 'smok'; did you mean smoke": lambda out: bench.run("digits", "vit_pico", tier="smok", out=out),  # type: ignore[arg-type]
    "seed must be a whole number, not True": lambda out: bench.run("digits", "vit_pico", seed=True, out=out),
    "seed must be a whole number, not 1.5": lambda out: bench.run("digits", "vit_pico", seed=1.5, out=out),  # type: ignore[arg-type]
    "device cannot be 'gpu'": lambda out: bench.run("digits", "vit_pico", device="gpu", out=out),
    "sort cannot be 'foo'": lambda out: bench.table(out, sort="foo"),
    "pareto cannot be 'foo'": lambda out: bench.table(out, pareto="foo"),  # type: ignore[arg-type]
    "tier cannot be 'tiny'": lambda out: bench.table(out, tiers="tiny"),
    "dtype cannot be 'x'": lambda out: bench.profile("vit_pico", dtype="x"),  # type: ignore[arg-type]
    "data_options is a dictionary, such as {'exclude': ['raw']}": lambda out: bench.run(
        "digits",
        "vit_pico",
        data_options=["raw"],  # type: ignore[arg-type]
        out=out,
    ),
    "the options of the data are wrong: layuot: unknown field": lambda out: bench.evaluate(
        "vit_pico", "digits", data_options={"layuot": "splits"}, out=out
    ),
    "task digits has no --exclude": lambda out: bench.run("digits", "vit_pico", data_options={"exclude": "a"}, out=out),
    "task digits has no --layout": lambda out: bench.score("digits", out, data_options={"layout": "splits"}),
    "rules cannot be 'own'": lambda out: bench.score("lasot", out, rules="own"),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_the_command_line_refuses_is_refused_here(message: str, tmp_path: Path) -> None:
    with pytest.raises(bench.UserError) as caught:
        WRONG[message](tmp_path)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_one_word_is_one_task_and_not_its_letters(tmp_path: Path) -> None:
    bench.run("digits", "vit_pico", protocol="knn", tier="smoke", device="cpu", out=tmp_path)
    assert len(bench.table(tmp_path, tasks="digits", tiers="smoke", backbones="vit_pico").table.boards) == 1


def test_pretraining_gives_a_folder_to_start_from(tmp_path: Path) -> None:
    folder = bench.pretrain("mae", "vit_pico", "digits", tier="smoke", device="cpu", out=tmp_path)
    record = bench.run(
        "digits", "vit_pico", protocol="knn", checkpoint=folder, tier="smoke", device="cpu", out=tmp_path
    )
    assert record.backbone.init == "checkpoint"


def test_listings_and_costs() -> None:
    assert "digits" in {row["name"] for row in bench.list_tasks()}
    assert "vit_nano" in {row["name"] for row in bench.list_backbones()}
    assert "mae" in {row["name"] for row in bench.list_pretraining_methods()}
    assert {"task": "digits", "protocol": "knn", "default": False} in bench.list_protocols()
    assert bench.profile("vit_pico", batch_size=2)["counts"]["parameters"] > 0
    assert bench.create_backbone("vit_pico", num_classes=3).model.num_classes == 3


def test_options_of_the_data_are_those_of_the_command_line() -> None:
    given = {"exclude": "raw", "map": {255: 1, 7: 0}, "ignore": 11, "target": 3, "labels": Path("labels.csv")}
    assert convert_data_options(given) == make_data_options(
        {"exclude": ["raw"], "map": ["7=0", "255=1"], "ignore": [11], "target": "3", "labels": "labels.csv"}
    )
    assert convert_data_options(None) == convert_data_options({}) == NO_OPTIONS
