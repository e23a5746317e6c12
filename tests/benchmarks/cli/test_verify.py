"""``bench compare`` and ``bench verify`` on real runs: what holds is said to hold, what was edited is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.cli.main import main
from results.records.record import dump_record
from results.records.store import read_record
from tests.conftest import ROOT

RUN = ("run", "digits", "--tier", "smoke", "--device", "cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two backbones and two protocols, through the real command."""
    out = tmp_path_factory.mktemp("runs")
    assert main([*RUN, "--backbone", "vit_nano", "--out", str(out)]) == 0
    assert main([*RUN, "--backbone", "vit_pico", "--out", str(out)]) == 0
    return out


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    """A copy of one run that a test may spoil."""
    (folder,) = runs.glob("digits/vit_nano-finetune*")
    return Path(shutil.copytree(folder, tmp_path / folder.name))


def verified(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    """The exit code, and the state of each thing checked of the one record; the ledger has tests of its own."""
    capsys.readouterr()
    code = main(["verify", *words, "--json"])
    found, ledger = json.loads(capsys.readouterr().out)
    assert {"record", "ledger"} == {*found, *ledger} - {"checks"}
    return code, {check["subject"]: check["state"] for check in found["checks"]}


def test_whole_runs_hold(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["verify", str(runs)]) == 0
    assert "2 records: nothing failed; everything could be checked" in capsys.readouterr().out


def test_a_record_that_no_command_finds_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the folder of another run it is lost; in a hidden folder it may be what a killed merge left."""
    (run.parent / ".old" / run.name).mkdir(parents=True)
    shutil.copy(run / "record.json", run.parent / ".old" / run.name)
    capsys.readouterr()
    assert main(["verify", str(run.parent)]) == 0
    assert "lies in a hidden folder, so no command finds it" in capsys.readouterr().out
    (run / "checkpoints" / "again").mkdir()
    shutil.copy(run / "record.json", run / "checkpoints" / "again")
    assert main(["verify", str(run)]) == 1
    found = capsys.readouterr().out
    assert f"{run / 'checkpoints' / 'again' / 'record.json'} lies in the folder of another run" in found


def test_the_evaluation_is_done_again_from_the_kept_weights(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    code, found = verified(capsys, str(run), "--rerun-eval", "--device", "cpu")
    assert code == 0
    assert found["top1 evaluated again"] == found["mean_per_class evaluated again"] == "holds"
    assert sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*")) == before, "the run itself is left alone"


def test_other_weights_are_found_by_evaluating_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in run.glob("checkpoints/best_*.pth"):
        content = torch.load(path, weights_only=True)
        content["state_dict"] = {
            name: value.flip(0) if value.is_floating_point() and value.ndim else value
            for name, value in content["state_dict"].items()
        }
        torch.save(content, path)
    assert verified(capsys, str(run))[0] == 0, "the record itself is whole"
    code, found = verified(capsys, str(run), "--rerun-eval", "--device", "cpu")
    assert (code, found["evaluation"]) == (1, "fails"), "the digest says it before anything is evaluated"
    shutil.rmtree(run / "checkpoints" / "sha256")  # as in a run of an earlier version
    code, found = verified(capsys, str(run), "--rerun-eval", "--device", "cpu")
    assert (code, found["top1 evaluated again"]) == (1, "fails")


def test_a_half_trained_checkpoint_is_never_trained_on(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "checkpoints" / "step_00000002.pth").unlink()
    code, found = verified(capsys, str(run), "--rerun-eval", "--device", "cpu")
    assert (code, found["evaluation"]) == (0, "unchecked")


def edit(run: Path, **changes: Any) -> None:
    content = json.loads((run / "record.json").read_text())
    for path, value in changes.items():
        inner = content
        *parents, name = path.split("__")
        for parent in parents:
            inner = inner[parent]
        inner[name] = value
    (run / "record.json").write_text(json.dumps(content))


def test_a_record_edited_by_hand_is_found(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(run, result__metrics__top1__value=88.0)
    assert verified(capsys, str(run / "record.json"))[1]["top1"] == "fails"
    edit(run, result__metrics__top1__higher_is_better=False)
    assert verified(capsys, str(run))[1]["top1"] == "fails"


def test_the_seed_belongs_to_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(run, seed=7)
    code, found = verified(capsys, str(run))
    assert (code, found["run_id"], found["comparability"]) == (1, "fails", "holds")


def test_other_data_are_found(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(run, data__fingerprint="0" * 64)
    assert verified(capsys, str(run))[1]["data"] == "fails"


def test_a_torn_record_fails_and_no_record_is_a_mistake(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = dump_record(read_record(run))
    (run / "record.json").write_text(whole[: len(whole) // 2])
    assert verified(capsys, str(run)) == (1, {"record": "fails"})
    (run / "record.json").unlink()
    assert main(["verify", str(run)]) == 2
    assert main(["verify", str(ROOT / "nowhere")]) == 2
    assert "no folder of runs" in capsys.readouterr().err


def test_what_keeps_no_checkpoint_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--backbone", "vit_nano", "--protocol", "knn", "--out", str(tmp_path)]) == 0
    code, found = verified(capsys, str(tmp_path), "--rerun-eval", "--device", "cpu")
    assert (code, found["evaluation"], found["top1"]) == (0, "unchecked", "holds")


def test_compare_by_name_by_folder_and_by_id(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = sorted(runs.glob("digits/*"))
    ids = [read_record(folder).run_id[:8] for folder in folders]
    outputs = []
    for pair in (["vit_nano", "vit_pico"], [str(folder) for folder in folders], ids):
        capsys.readouterr()
        assert main(["compare", *pair, "--runs", str(runs), "--json"]) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert outputs[0] == outputs[1] == outputs[2]
    (found,) = outputs[0]
    values = [read_record(folder).result for folder in folders]
    gap = [result.metrics["top1"].value for result in values if result]
    assert found["difference"] == pytest.approx(gap[0] - gap[1])
    assert len(found["better"]) - len(found["worse"]) == round(359 * found["difference"] / 100)


def test_compare_names_ten_items_or_all(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "vit_nano", "vit_pico", "--runs", str(runs), "--task", "digits"]
    capsys.readouterr()
    assert main(words) == 0
    short = capsys.readouterr().out
    assert "more: --all" in short
    assert "McNemar, exact" in short
    assert main([*words, "--all"]) == 0
    whole = capsys.readouterr().out
    assert "--all" not in whole
    assert whole.count(" and ") > short.count(" and ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["vit_nano", "vit_pic"], "vit_nano is a backbone with runs here, and vit_pic is not"),
        (["vit_nan", "vit_pic"], "'vit_nan' is neither a run nor a backbone with runs; did you mean"),
        (["vit_nano", "vit_pico", "--task", "pets"], "no complete runs on one board of task pets"),
        (["vit_nano", "vit_nano"], "both are run"),
    ],
)
def test_compare_says_why_not(runs: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words, "--runs", str(runs)]) == 2
    assert sentence in capsys.readouterr().err
