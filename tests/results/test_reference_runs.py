"""The records that are committed: each still follows from its files, and the table beside them from the records."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.report import build_report
from results.records.record import Record
from results.records.store import scan_runs
from results.records.verification import verify_record
from tests.conftest import ROOT

MEASURED = ROOT / "results" / "reference_runs"
FOUND = scan_runs([MEASURED])


def test_every_record_can_be_read() -> None:
    assert FOUND.errors == []
    assert {record.task for _, record in FOUND.records} >= {"cifar10", "digits"}


@pytest.mark.parametrize(("folder", "record"), FOUND.records, ids=[folder.name for folder, _ in FOUND.records])
def test_a_record_follows_from_its_files(folder: Path, record: Record) -> None:
    assert record.status == "complete"
    assert [check for check in verify_record(folder, record) if check.state == "fails"] == []
    assert record.environment.git_dirty is False


def test_the_table_follows_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # a command in the table names the folder as it was given, which was relative
    found = scan_runs([MEASURED.relative_to(ROOT)])
    assert to_markdown(build_report(found)).strip() == (MEASURED / "table.md").read_text().strip()


def test_pretraining_wins_by_more_than_the_interval() -> None:
    """Equal fine-tuning on a tenth of CIFAR-10's labels, three seeds each."""
    (board,) = [board for board in build_report(FOUND).table.boards if board.task == "cifar10"]
    best, scratch = board.rows
    assert (len(best.seeds), len(scratch.seeds)) == (3, 3)
    assert scratch.is_random_baseline
    assert best.interval is not None
    assert scratch.interval is not None
    assert best.interval.low > scratch.interval.high
