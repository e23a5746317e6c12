from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.cli.main import main
from benchmarks.transfer.submission import check_submission
from results.records.record import Record
from results.records.store import read_record, write_record
from tests.benchmarks.transfer.make_stores import add_run
from tests.conftest import BENCH, ROOT, run_bench


@pytest.fixture(scope="module")
def real_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a real run."""
    store = tmp_path_factory.mktemp("real") / "runs"
    words = ("run", "digits", "--backbone", "vit_pico", "--protocol", "knn", "--tier", "smoke", "--out", str(store))
    done = run_bench(*words, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return store


@pytest.fixture
def store(real_store: Path, tmp_path: Path) -> Path:
    shutil.copytree(real_store, tmp_path / "runs")
    return tmp_path / "runs"


def rewrite(store: Path, **changes: Any) -> Record:
    """Replace the only record by one with other fields, as somebody could by hand."""
    (folder,) = (store / "digits").iterdir()
    content = read_record(folder).model_dump()
    for path, value in changes.items():
        *parts, last = path.split("__")
        place = content
        for part in parts:
            place = place[part]
        place[last] = value
    record = Record.model_validate(content)
    (folder / "record.json").unlink()
    shutil.rmtree(store / "ledger")
    write_record(folder, record)
    return record


def test_what_passes_is_packed(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", str(store), "-o", str(tmp_path / "a.tar.zst")]) == 0
    said = capsys.readouterr().out
    assert "1 record: nothing against a submission" in said and "sha256: " in said
    assert "licence of the start weights of 1 run: none needed, random weights" in said
    assert (tmp_path / "a.tar.zst").is_file()


def test_every_fault_is_listed_and_nothing_is_packed(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = rewrite(store, result__metrics__top1__value=99.0, schema_version=5)
    failed = add_run(store, "vit_nano")
    shutil.rmtree(failed)
    failed.mkdir()
    write_record(failed, record.model_copy(update={"status": "failed", "result": None, "done": 0, "reason": "no disk"}))
    assert main(["submit", str(store), "-o", str(tmp_path / "a.tar.zst"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["pack"] is None and not (tmp_path / "a.tar.zst").exists()
    text = "\n".join(f"{fault['check']} {fault['message']}" for fault in report["faults"])
    for part in ("verify top1", "schema it has schema version 5", "completeness it is failed (no disk)"):
        assert part in text
    assert main(["submit", str(store)]) == 1
    assert "faults" in capsys.readouterr().out


CARD = {"uri": "hf-hub:a/b", "recipe": "r", "source": "s", "licence": "MIT", "sha256": None}
FILE = {"uri": "/somewhere/x.pth", "sha256": "a" * 64, "bytes": 1}


@pytest.mark.parametrize(
    ("init", "licence", "checkpoint", "message"),
    [
        ("card", "MIT", FILE, None),
        ("card", "unknown", FILE, "states no licence of its weights"),
        ("card", " ", FILE, "states no licence of its weights"),
        ("checkpoint", "MIT", FILE, "neither of a card nor of a pre-training in this store"),
        ("memory", "MIT", FILE | {"uri": "memory:x"}, "neither of a card nor of a pre-training in this store"),
    ],
)
def test_weights_need_a_licence(
    init: str, licence: str, checkpoint: dict[str, Any], message: str | None, store: Path
) -> None:
    weights = CARD | {"licence": licence}
    rewrite(store, backbone__init=init, backbone__checkpoint=checkpoint, backbone__card__weights=weights)
    report = check_submission(store)
    found = [fault.message for fault in report.faults if fault.check == "licence"]
    assert bool(found) == bool(message) and (message or "") in "".join(found)
    assert report.licences == {"unknown" if message else "MIT": 1}


def test_weights_of_a_pre_training_in_the_store_are_yours(store: Path) -> None:
    rewrite(store, backbone__init="checkpoint", backbone__checkpoint=FILE)
    made = add_run(store, "vit_nano")
    record = read_record(made)
    assert record.result is not None
    result = record.result.model_copy(update={"details": {"encoder": {"sha256": "a" * 64}}})
    shutil.rmtree(made)
    made.mkdir()
    write_record(made, record.model_copy(update={"result": result}))
    assert not [fault for fault in check_submission(store).faults if fault.check == "licence"]


def test_what_is_no_store_is_a_fault_or_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["submit", str(tmp_path / "empty")]) == 1
    assert "has to hold one store, but holds none" in capsys.readouterr().out
    assert main(["submit", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def read_action() -> dict[str, Any]:
    page = (ROOT / "docs" / "guides" / "share-results.md").read_text()
    action: dict[str, Any] = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    return action


def test_the_action_can_only_read_and_runs_on_no_trusted_event() -> None:
    action = read_action()
    assert action["permissions"] == {"contents": "read"}
    assert action[True] == {"pull_request": {"paths": ["incoming/**"]}}, "YAML reads the key 'on' as true"
    assert "secrets" not in json.dumps({str(key): value for key, value in action.items()})


def test_the_steps_of_the_action_run(store: Path, tmp_path: Path) -> None:
    """In processes, as there; what they say of an edited record is in the test below."""
    repository = tmp_path / "repository"
    (repository / "incoming").mkdir(parents=True)
    assert main(["pack", str(store), "-o", str(repository / "incoming" / "a.tar.zst")]) == 0
    env = os.environ | {
        "PATH": f"{Path(BENCH).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    steps = [step["run"] for step in read_action()["jobs"]["check"]["steps"] if "run" in step]
    commands = [step for step in steps if "pip install" not in step]
    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(["bash", "-e", "-c", command], cwd=repository, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
    assert "vit_pico" in (tmp_path / "summary").read_text()


def test_an_edited_record_in_an_archive_is_found_after_the_merge(store: Path, tmp_path: Path) -> None:
    rewrite(store, result__metrics__top1__value=99.0)
    assert main(["pack", str(store), "-o", str(tmp_path / "a.tar.zst")]) == 0
    assert main(["merge", str(tmp_path / "a.tar.zst"), "--out", str(tmp_path / "merged")]) == 0
    assert main(["submit", str(tmp_path / "merged")]) == 1
