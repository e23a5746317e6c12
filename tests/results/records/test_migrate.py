"""A folder of runs under an earlier schema goes on under today's ids; numbers and files stay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from foundation.errors import RecordError
from results.records.identity import build_run_identity
from results.records.migrate import add_legacy_statistics, main, migrate_store
from results.records.record import SCHEMA_VERSION
from results.records.store import read_record
from results.records.verification import verify_record
from results.statistics.ranking import rank_rows
from tests.results.make import write_digits_run

FIXTURE = Path(__file__).parents[1] / "fixtures" / "record_v3_tracking.json"
ITEMS = "sequence,AUC,P\n"
OLD_ID = json.loads(FIXTURE.read_text())["run_id"]


def make_run(root: Path, suffix: str = "") -> Path:
    """A run's folder as version 3 wrote it."""
    folder = root / "mini_lasot" / f"vit_pico-fast64-smoke-seed0-{OLD_ID}{suffix}"
    folder.mkdir(parents=True)
    shutil.copy(FIXTURE, folder / "record.json")
    (folder / "items.csv").write_text(ITEMS)
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
    assert (new / "items.csv").read_text() == ITEMS
    old_metrics = json.loads(FIXTURE.read_text())["result"]["metrics"]
    assert record.result is not None
    assert {name: metric.value for name, metric in record.result.metrics.items()} == {
        name: metric["value"] for name, metric in old_metrics.items()
    }
    statistics = {name: metric.statistic for name, metric in record.result.metrics.items()}
    assert statistics["AUC"] is not None and statistics["AUC"].columns == ["AUC"]
    assert statistics["OP50"] is None, "no such column here"
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


def test_metrics_say_how_they_follow_from_items_and_rank_as_before(tmp_path: Path) -> None:
    shares = {"a": [place % 3 > 0 for place in range(60)], "b": [place % 7 > 0 for place in range(60)]}
    for name, right in shares.items():
        write_digits_run(tmp_path / name, name, right)
    before = [[(tmp_path / name, read_record(tmp_path / name))] for name in shares]
    for metric in ("top1", "mean_per_class"):
        expected = rank_rows(before, metric, True)
        again = [(folder, add_legacy_statistics(folder, record)) for ((folder, record),) in before]
        assert all(record.result and record.result.metrics[metric].statistic for _, record in again)
        modern = [[(folder, record.model_copy(update={"schema_version": 4}))] for folder, record in again]
        assert rank_rows(modern, metric, True) == expected
        for ((folder, record),) in modern:
            assert {check.state for check in verify_record(folder, record)} == {"holds"}


def test_a_table_that_is_not_there_leaves_what_can_be_said(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "items.csv").unlink()
    result = add_legacy_statistics(folder, read_record(folder)).result
    assert result is not None
    stated = {name: metric.statistic.columns for name, metric in result.metrics.items() if metric.statistic}
    assert stated == {name: [name] for name in ("AUC", "P", "P_norm", "OP50", "OP75")}
