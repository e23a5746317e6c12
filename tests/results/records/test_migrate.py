"""A folder of runs under an earlier schema goes on under today's ids; numbers and files stay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from foundation.errors import RecordError
from results.records.identity import build_run_identity
from results.records.migrate import main, migrate_store
from results.records.record import SCHEMA_VERSION
from results.records.store import read_record

FIXTURE = Path(__file__).parents[1] / "fixtures" / "record_v3_tracking.json"
OLD_ID = json.loads(FIXTURE.read_text())["run_id"]


def make_run(root: Path, suffix: str = "") -> Path:
    """A run's folder as version 3 wrote it."""
    folder = root / "mini_lasot" / f"vit_pico-fast64-smoke-seed0-{OLD_ID}{suffix}"
    folder.mkdir(parents=True)
    shutil.copy(FIXTURE, folder / "record.json")
    (folder / "items.csv").write_text("item\n")
    return folder


@pytest.mark.parametrize("suffix", ["", ".2"])
def test_record_and_folder_have_todays_id(suffix: str, tmp_path: Path) -> None:
    before = make_run(tmp_path, suffix)
    ((old, new),) = migrate_store(tmp_path)
    assert old == before and not before.exists()
    record = read_record(new)
    assert record.schema_version == SCHEMA_VERSION and record.run_id != OLD_ID
    assert new.name == f"vit_pico-fast64-smoke-seed0-{record.run_id}{suffix}"
    assert build_run_identity(record).run_id == record.run_id
    assert (new / "items.csv").read_text() == "item\n"
    old_metrics = json.loads(FIXTURE.read_text())["result"]["metrics"]
    assert record.result is not None
    assert {name: metric.value for name, metric in record.result.metrics.items()} == {
        name: metric["value"] for name, metric in old_metrics.items()
    }
    assert migrate_store(tmp_path) == [], "a second time there is nothing to do"


def test_a_folder_that_is_taken_is_named_and_nothing_changes(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    run_id = read_record(folder).run_id
    folder.with_name(folder.name.replace(OLD_ID, run_id)).mkdir()
    with pytest.raises(RecordError, match="already exists"):
        migrate_store(tmp_path)
    assert (folder / "record.json").read_text() == FIXTURE.read_text()


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path)
    assert main([str(tmp_path)]) == 0
    assert OLD_ID in capsys.readouterr().out
    (tmp_path / "mini_lasot" / "torn").mkdir()
    (tmp_path / "mini_lasot" / "torn" / "record.json").write_text("{")
    assert main([str(tmp_path)]) == 2
    assert "torn" in capsys.readouterr().err
