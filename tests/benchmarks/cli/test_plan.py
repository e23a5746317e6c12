"""``bench plan`` and ``--dry-run``: what a newcomer reads, and what a program reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from backbones.create import create_backbone
from benchmarks.cli.main import main
from benchmarks.cli.matrix.format_plan import format_bytes
from benchmarks.cli.matrix.matrix_plan import parse_hours
from benchmarks.resolve_cell import CellRequest, resolve_cell
from tests.benchmarks.matrix.make import make_request, write_complete_run

CELLS = ("--tasks", "digits", "--protocols", "knn", "--backbones", "vit_nano", "--checkpoint", "random")


def plan(*words: str, code: int = 0) -> None:
    """Runs ``bench plan`` without a calibration."""
    assert main(["plan", *words, "--no-calibration"]) == code


def test_a_plan_counts_the_states_and_gives_the_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_complete_run(make_request(tmp_path))
    write_complete_run(make_request(tmp_path, seed=1), protocol_version=0)
    plan(
        *CELLS,
        "--tasks",
        "digits",
        "flowers",
        "--seeds",
        "0",
        "1",
        "2",
        "--data-root",
        str(tmp_path),
        "--out",
        str(tmp_path),
    )
    text = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert lines["digits"][1:9] == ["knn", "full", "3", "1", "-", "1", "1", "-"]
    assert lines["flowers"][-3:] == ["3", "-", "-"]
    assert "to run: 2 cells of 6; how long they take is unknown\n" in text
    assert "stale (a record is there, but of other data, code or weights, so the cell runs again):" in text
    assert "1 cell, such as digits knn vit_nano@random seed 1: protocol version 0 -> 2" in text
    assert "3 cells, such as flowers knn vit_nano@random seed 0: " in text


def test_every_cell_is_in_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, record = write_complete_run(make_request(tmp_path))
    plan(*CELLS, "--seeds", "0", "1", "--out", str(tmp_path), "--json", "--budget", "1h")
    content = json.loads(capsys.readouterr().out)
    assert content["states"] == {"done": 1, "missing": 1}
    assert (content["seconds"], content["cells_of_unknown_duration"], content["chosen"]) == (0, 1, [])
    done, missing = content["cells"]
    assert (done["run_id"], done["board"]) == (record.run_id, record.comparability)
    assert (done["folder"], done["seconds"]) == (str(folder), 0)
    assert (missing["state"], missing["seconds"], missing["evidence"]) == ("missing", None, "unknown")


def test_a_plan_of_impossible_cells_alone_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan("--tasks", "flowers", "--backbones", "vit_nano", "--data-root", str(tmp_path), "--out", str(tmp_path), code=1)
    assert "impossible (the command would end with an error):" in capsys.readouterr().out


def test_a_budget_names_the_command_that_runs_what_was_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more").mkdir()
    plan(*CELLS, "--out", str(tmp_path), "--budget", "8h", "--runs", str(tmp_path / "more"), "--seeds", "0")
    text = capsys.readouterr().out
    assert "within 8 h: 0 of 1 cell" in text
    assert "left out because nothing is known of their duration: 1 cell" in text
    more = f"--budget 8h --runs {tmp_path / 'more'} --seeds 0 --no-calibration"
    assert f"run them: bench sweep {' '.join(CELLS)} --out {tmp_path} {more}\n" in text


def test_a_store_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan(*CELLS, "--out", str(tmp_path), "--runs", str(tmp_path), str(tmp_path / "typo"), code=2)
    assert f"no folder of runs at {tmp_path / 'typo'}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["8", "0h", "nanh", "infh", "h", "8 weeks"])
def test_a_budget_that_is_no_time_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan(*CELLS, "--budget", text, code=2)
    assert "8h, 90m or 2d" in capsys.readouterr().err


def test_times_and_sizes_read_well() -> None:
    assert [parse_hours(text) for text in ("8h", "90m", "1.5H", "2d", "36s")] == [8, 1.5, 1.5, 48, 0.01]
    assert [format_bytes(size) for size in (2**19, 5 * 2**30)] == ["0.5 MiB", "5.0 GiB"]


def dry_run(*words: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """The JSON of ``--dry-run``."""
    assert main([*words, "--dry-run", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_dry_run_gives_every_setting_with_its_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = ("run", "digits", "--backbone", "vit_nano", "--checkpoint", "random", "--tier", "short", "--seeds", "3")
    words = (*first, "--set", "batch_size=32", "workers=1", "--data-scale", "0.5", "--out", str(tmp_path / "runs"))
    (cell,) = dry_run(*words, capsys=capsys)
    request = CellRequest(
        "digits", "vit_nano", None, "random", "short", 3, ("batch_size=32", "workers=1"), data_scale=0.5
    )
    resolved = resolve_cell(request)
    assert (cell["run_id"], cell["board"]) == (resolved.identity.run_id, resolved.identity.comparability)
    assert (cell["state"], cell["data"]["splits"]["test"]) == ("missing", 359)
    found = {setting["name"]: (setting["value"], setting["source"], setting["counts"]) for setting in cell["settings"]}
    assert found["batch_size"] == (32, "--set", True)
    assert found["epochs"] == (10, "tier", True)
    assert found["optimizer.lr"] == (0.004, "protocol", True)
    assert found["data_scale"] == (0.5, "derived", True)
    assert found["workers"] == (1, "--set", False)
    assert not (tmp_path / "runs").exists()
    assert main([*words, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert cell["run_id"] in text
    assert "not part of the id" in text


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--protocol", "lowshot", "--set", "max_items=20"), {"draws", "grid.count"}),
        (("--protocol", "finetune", "--set", "epochs=2"), {"schedule.warmup"}),
    ],
)
def test_what_fits_this_tier_alone_hides_no_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], names: set[str]
) -> None:
    (cell,) = dry_run(
        "run", "digits", "--backbone", "vit_nano", "--tier", "smoke", *words, "--out", str(tmp_path), capsys=capsys
    )
    assert names <= {setting["name"] for setting in cell["settings"] if setting["source"] == "tier"}


def test_a_dry_run_says_when_a_record_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = write_complete_run(make_request(tmp_path))
    words = ("run", "digits", "--backbone", "vit_nano", "--protocol", "knn", "--checkpoint", "random")
    (cell,) = dry_run(*words, "--out", str(tmp_path), capsys=capsys)
    assert (cell["state"], cell["folder"]) == ("done", str(folder))


def test_a_dry_run_of_a_pre_training_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("pretrain", "mae", "--backbone", "vit_nano", "--data", "digits", "--tier", "smoke", "--out", str(tmp_path))
    (cell,) = dry_run(*words, capsys=capsys)
    assert (cell["task"], cell["protocol"], cell["state"]) == ("pretrain", "mae", "missing")
    assert ["data", "digits", "derived", True] in [list(setting.values()) for setting in cell["settings"]]
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_what_cannot_run_fails_like_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "digits", "--backbone", "vit_nano", "--set", "no_such=1", "--dry-run"]) == 2
    assert "unknown configuration key 'no_such'" in capsys.readouterr().err


def test_a_dry_run_refuses_what_the_run_refuses_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    wrong = tmp_path / "weights.safetensors"
    save_file(create_backbone("vit_pico", num_classes=0).model.state_dict(), wrong)
    folder, _ = write_complete_run(make_request(tmp_path / "damaged"))
    (folder / "record.json").write_text("{")
    before = sorted(tmp_path.rglob("*"))
    first = ["run", "digits", "--backbone", "vit_nano", "--protocol", "knn"]
    fine = ["--checkpoint", "random", "--out"]
    # mkdir calls the file itself what open calls the folder in it
    same = ("a part of this path is a file, not a folder", "something of this name is there already")
    for words in (
        ["--checkpoint", str(wrong), "--out", str(tmp_path / "runs")],
        ["--device", "cuda", *fine, str(tmp_path / "runs")],
        [*fine, str(wrong)],
        [*fine, str(wrong / "below")],
        [*fine, str(folder)],
        [*fine, str(tmp_path / "damaged")],
    ):
        ends = []
        for dry in (["--dry-run"], []):
            assert main([*first, *words, *dry]) == 2, words
            ends.append(capsys.readouterr().err)
        assert ends[0].replace(*same) == ends[1].replace(*same)
        assert [path for path in sorted(tmp_path.rglob("*")) if path.name != "runs"] == before


def test_a_sweep_takes_the_cells_of_its_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", *CELLS, "--out", str(tmp_path), "--budget", "8h", "--no-calibration"]
    assert main(words) == 2
    assert "no cell has to run and is known to fit into the budget" in capsys.readouterr().err
